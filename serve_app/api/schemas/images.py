"""Answers about uploads and stored images."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from serve_app.services.jobs.results import FileUrl

CameraTime = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?$"}),
]
"""A time on a camera's clock, ISO 8601: with its time zone, or without one where it is not known."""


class Upload(BaseModel):
    """A stored image; width and height are those of the upright image."""

    id: str
    url: FileUrl
    sha256: str
    content_type: str
    width: int
    height: int
    bytes: int
    filename: str | None = Field(description="as it was sent; control characters replaced, cut to 255 characters")


class Rejected(BaseModel):
    index: int = Field(ge=0, description="place among the files of the request, the first is 0: names may repeat")
    filename: str | None
    code: str = Field(examples=["corrupt"])
    detail: str


class Uploads(BaseModel):
    images: list[Upload]
    rejected: list[Rejected]


class PlaceView(BaseModel):
    """Where a photograph was taken."""

    model_config = ConfigDict(from_attributes=True)

    latitude: float = Field(ge=-90, le=90, description="degrees north")
    longitude: float = Field(ge=-180, le=180, description="degrees east")


class ImageDetail(Upload):
    created_at: datetime
    taken_at: CameraTime | None = Field(
        description="on the camera's clock: with its time zone, or without one where that is not known",
        examples=["2026-03-01T12:00:00+01:00"],
    )
    camera: str | None = Field(examples=["Canon EOS R5"])
    place: PlaceView | None


class _Named(BaseModel):
    filename: str | None


class TutorialUpload(Upload, _Named):  # in this order, so that the name comes first
    pass
