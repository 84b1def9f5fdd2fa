"""Uploads and images over HTTP."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class Upload(BaseModel):
    """A stored picture; width and height are those of the upright picture."""

    id: str
    url: str
    sha256: str
    content_type: str
    width: int
    height: int
    bytes: int


class Rejected(BaseModel):
    filename: str | None
    code: str = Field(examples=["corrupt"])
    detail: str


class Uploads(BaseModel):
    images: list[Upload]
    rejected: list[Rejected]


class ImageDetail(Upload):
    filename: str | None
    created_at: datetime


class TutorialUpload(Upload):
    filename: str | None
