"""Types of fields that several bodies share."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

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


def _written(time: object) -> object:
    """Refuse numbers, which would be taken for seconds since 1970."""
    if not isinstance(time, str | datetime) or (isinstance(time, str) and _NUMBER.fullmatch(time.strip())):
        raise ValueError("write a time as 2026-03-01T12:00:00Z")
    return time


def _possible(time: datetime) -> datetime:
    if not 1000 <= time.year <= 9998:
        raise ValueError("a year from 1000 to 9998 is needed")
    return time


_NUMBER = re.compile(r"[-+]?[\d._]*(e[-+]?\d+)?", re.IGNORECASE)
WrittenTime = Annotated[datetime, BeforeValidator(_written), AfterValidator(_possible)]
"""A time as ISO 8601 has it, with or without a zone."""


class Body(BaseModel):
    """A request body: an unknown field is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid")
