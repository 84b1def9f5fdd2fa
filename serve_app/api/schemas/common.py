"""Types of fields that several bodies share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

ImageRef = Annotated[str, StringConstraints(min_length=1, max_length=8192)]


def _reachable(album_id: str) -> str:
    """Refuse ids that clients and proxies resolve like a folder's `.` and `..`: no URL would lead to the album."""
    if not {".", ".."}.isdisjoint(album_id.split("/")):
        raise ValueError("`.` and `..` are no album ids, nor parts of one between slashes")
    return album_id


AlbumId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_reachable),
]


Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


StyleName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


Prompt = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]


class Body(BaseModel):
    """A request body: an unknown field is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid")
