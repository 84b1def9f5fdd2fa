"""Answers about uploads and stored images."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from serve_app.api.schemas.common import Body, WrittenTime
from serve_app.services.images.changes import UNCHANGED, ImageChange
from serve_app.services.images.thumbnails import Thumbnail
from serve_app.services.jobs.results import CameraTime, FileUrl


class ThumbnailSize(IntEnum):
    """Pixels of a thumbnail's longest side."""

    SMALL = 256
    MEDIUM = 512
    LARGE = 1024
    HUGE = 2048


class FileQuery(Body):
    """Whether a file itself is wanted, or a thumbnail of it."""

    size: ThumbnailSize | None = Field(
        None, description="a thumbnail with so many pixels on its longer side; a smaller image is not enlarged"
    )
    format: Literal["webp", "jpeg"] | None = Field(None, description="of the thumbnail; default: webp")

    @model_validator(mode="after")
    def _format_of_a_thumbnail(self) -> FileQuery:
        if self.format is not None and self.size is None:
            raise ValueError("`format` is of a thumbnail: give its `size` too")
        return self

    @property
    def thumbnail(self) -> Thumbnail | None:
        return None if self.size is None else Thumbnail(int(self.size), self.format or "webp")


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
    thumbnails: dict[str, FileUrl] = Field(
        description="pixels of the longer side -> URL of a WebP; `&format=jpeg` makes it a JPEG"
    )
    trashed_at: datetime | None = Field(description="since when it lies in the trash")
    tags: list[str] = Field(description="the user's own first, then the model's; none while it is in no album")


Tag = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]


class TagChange(Body):
    add: list[Tag] = Field([], max_length=100)
    remove: list[Tag] = Field([], max_length=100, description="also tags of the model's, which stay away from then on")

    @model_validator(mode="after")
    def _one_or_the_other(self) -> TagChange:
        if both := set(self.add) & set(self.remove):
            raise ValueError(f"'{min(both)}' is to be added and removed")
        return self


class ImagePatch(Body):
    """What is left out stays as it is; null says that it is not known."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"filename": "beach.jpg", "tags": {"add": ["holiday"], "remove": ["dog"]}}}
    )

    filename: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = (
        None
    )
    taken_at: WrittenTime | None = Field(None, description="on the camera's clock; without a zone: of an unknown one")
    tags: TagChange = TagChange()

    @property
    def change(self) -> ImageChange:
        sent = self.model_fields_set
        return ImageChange(
            filename=self.filename if "filename" in sent else UNCHANGED,
            taken_at=self.taken_at if "taken_at" in sent else UNCHANGED,
            add_tags=self.tags.add,
            remove_tags=self.tags.remove,
        )


class _Named(BaseModel):
    filename: str | None


class TutorialUpload(Upload, _Named):  # in this order, so that the name comes first
    pass
