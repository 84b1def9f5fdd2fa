"""Answers about uploads and stored images."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from serve_app.services.jobs.results import FileUrl


class Upload(BaseModel):
    """A stored image; width and height are those of the upright image."""

    id: str
    url: FileUrl
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


class _Named(BaseModel):
    filename: str | None


class TutorialUpload(Upload, _Named):  # in this order, so that the name comes first
    pass
