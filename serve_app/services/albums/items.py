"""What the use cases speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from serve_app.store.repositories import results

AnalysisKind = Literal["tags", "duplicates", "people", "quality"]
FOLLOW_UPS: tuple[AnalysisKind, ...] = ("tags", "people", "duplicates")
"""What an album is analysed for once its pictures are embedded: the quick ones first."""

RESULT_KEYS = {"tags": "tags", "duplicates": "duplicates", "people": "people_clusters", "quality": "quality"}
"""Kind of analysis -> the key under which its answer stands."""

_DETAILS = frozenset({"scores", "groups", "people", "unassigned_faces"})


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of an album, ready to be analysed. Two items may hold the same bytes."""

    ref: str
    """As the client sent it."""
    image_id: str
    sha256: str
    width: int
    height: int
    bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class UnusableImage:
    """A picture that could not be used."""

    ref: str
    code: str
    detail: str

    def view(self) -> dict[str, str]:
        return {"image": self.ref, "code": self.code, "detail": self.detail}


def without_details(payload: dict[str, Any]) -> dict[str, Any]:
    """The plain answer out of a detailed one."""
    return {key: value for key, value in payload.items() if key not in _DETAILS}


DEFAULTS: dict[str, dict[str, Any]] = {"tags": {}, "people": {"min_images": 1}, "duplicates": {"level": "copy"}}
"""Parameters of the follow-up jobs: those of a request that names none, so that it finds their results."""


def analysis_key(album_id: str, kind: str, parameters: dict[str, Any], version: int) -> str:
    """Names one analysis of one state of an album: asked for twice, it runs once."""
    return f"{album_id}/{kind}/{results.params_key(parameters)}/{version}"
