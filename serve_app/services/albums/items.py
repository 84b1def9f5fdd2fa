"""Items and kinds of analysis of an album, and the key that names one analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from serve_app.store.repositories import results

AnalysisKind = Literal["tags", "duplicates", "people", "quality", "texts"]
FOLLOW_UPS: tuple[AnalysisKind, ...] = ("tags", "people", "duplicates", "texts")
"""Analyses that follow the embedding of an album's images, the quick ones first."""
TOLD_FOLLOW_UPS: tuple[AnalysisKind, ...] = ("tags", "people", "duplicates")
"""Those that the answer of the embedding names: whoever waits for its jobs waits for these, as ever."""

RESULT_KEYS = {
    **{"tags": "tags", "duplicates": "duplicates", "people": "people_clusters"},
    **{"quality": "quality", "texts": "texts"},
}
"""Kind of analysis -> the field of its result that holds what was found."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of an album, ready to be analysed. Two items may hold the same file content."""

    ref: str
    """As the client sent it."""
    image_id: str
    sha256: str
    width: int
    height: int
    bytes: int
    content_type: str


DEFAULTS: dict[str, dict[str, Any]] = {
    "tags": {},
    "people": {"min_images": 1, "bystanders": False},
    "duplicates": {"level": "copy"},
    "texts": {"likely_only": True},
}
"""Parameters of the follow-up jobs: equal to those of a request that names none, so that it finds their results."""


def analysis_key(album_id: str, kind: str, parameters: dict[str, Any], version: int) -> str:
    """Name one analysis of one state of an album, so that it runs once when it is asked for twice."""
    return f"{album_id}/{kind}/{results.params_key(parameters)}/{version}"
