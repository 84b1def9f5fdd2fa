"""What the use cases speak of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from deployments.errors import DarkroomError

AnalysisKind = Literal["tags", "duplicates", "people", "quality"]
FOLLOW_UPS: tuple[AnalysisKind, ...] = ("tags", "people", "duplicates")
"""What an album is analysed for once its pictures are embedded: the quick ones first."""

RESULT_KEYS = {"tags": "tags", "duplicates": "duplicates", "people": "people_clusters", "quality": "quality"}
"""Kind of analysis -> the key under which its answer stands."""

_OWN_REF = re.compile(r"(?:https?://[^?#]+/api/v1/files/)?(img_[0-9a-z]{10,64})(?:\.[a-z0-9]{1,5})?")
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
class Failure:
    """A picture that could not be used."""

    ref: str
    code: str
    detail: str

    def view(self) -> dict[str, str]:
        return {"image": self.ref, "code": self.code, "detail": self.detail}


def problem_members(error: DarkroomError, instance: str | None = None) -> dict[str, Any]:
    """RFC 9457 members, as jobs and the history keep them."""
    members: dict[str, Any] = {
        **error.extra,
        "type": f"/problems/{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
    }
    return members | ({"instance": instance} if instance else {})


def own_image_id(ref: str) -> str | None:
    """The image id in a reference of the kind that this server issues: a bare id, or the URL of a stored file.

    By whatever host name it came: the server may be known by several. Ids are long and random, so a URL with one that
    is the user's is ours.
    """
    match = _OWN_REF.fullmatch(ref)
    return match[1] if match else None


def without_details(payload: dict[str, Any]) -> dict[str, Any]:
    """The plain answer out of a detailed one."""
    return {key: value for key, value in payload.items() if key not in _DETAILS}
