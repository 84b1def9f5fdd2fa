"""What the tasks of Immich have in common: what they are given, and how they refuse a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import structlog

from deployments.contracts.arrays import Image, Vectors
from deployments.errors import BadRequest, CapabilityFailed, NotSupported
from serve_app.services.immich.entries import Entries

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """The picture and the text of a request; None: not sent."""

    picture: Image | None
    """As stored: not turned by EXIF. Boxes are in its pixels."""
    text: str | None

    def seen(self, who: str) -> Image:
        """The picture. Raises `BadRequest` where none was sent."""
        if self.picture is None:
            raise BadRequest(f"{who} needs a picture: send `image`.")
        return self.picture


class Task(Protocol):
    """A task by its name in `entries`."""

    def check(self, entries: Entries, *, has_picture: bool, has_text: bool) -> None:
        """Check a request before its picture is decoded. Raises `BadRequest`, `NotSupported`, `InvalidRequest`."""
        ...

    async def answer(self, entries: Entries, given: Given) -> Any:
        """Do what was checked; -> the JSON that Immich expects under the task's name."""
        ...


def check_name(what: str, name: str, served: Sequence[str]) -> None:
    """Raise `NotSupported` for a model that is not served: vectors of another would spoil a library, and silently."""
    if name in served:
        return
    log.warning("model of Immich refused", what=what, asked=name, served=list(served))
    raise NotSupported(
        f"The {what} '{name}' is not served here, and no other stands in for it. Served: {', '.join(served) or 'none'}."
    )


def spell(vector: Vectors) -> str:
    """Spell a vector `float32[D]` as the text that Immich puts into its database, the shortest that gives it back.

    Raises `CapabilityFailed` where it holds what is no number.
    """
    if not np.isfinite(vector).all():
        raise CapabilityFailed("The model gave no numbers for this.")
    return f"[{','.join(map(str, vector.astype(np.float32)))}]"
