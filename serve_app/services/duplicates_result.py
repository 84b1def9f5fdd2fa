"""From links between contents to groups of duplicates and the picture to keep. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deployments.algorithms.duplicate_groups import choose_keeper, group_duplicates
from serve_app.services.records import Item

Level = Literal["exact", "copy", "similar"]
_RANK: dict[Level, int] = {"exact": 0, "copy": 1, "similar": 2}


@dataclass(frozen=True, slots=True)
class Link:
    """Two contents that are the same at some level, and how surely (0 to 1)."""

    left: str
    right: str
    level: Level
    score: float
