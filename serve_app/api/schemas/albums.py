"""What goes over the wire. Field names are fixed by the HTTP contract."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serve_app.api.schemas.common import EXAMPLE_REF, AlbumId, Body, Failed, ImageRef, Label
from serve_app.api.schemas.jobs import JobLink, JobState


class EmbeddingsRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"images": [EXAMPLE_REF], "album_id": "summer"}})

    images: list[ImageRef] = Field(min_length=1)
    album_id: AlbumId | None = None


class AnalysisRequest(Body):
    """Either the pictures themselves or an album that was embedded before."""

    images: list[ImageRef] | None = Field(None, min_length=1)
    album_id: AlbumId | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> AnalysisRequest:
        if (self.images is None) == (self.album_id is None):
            raise ValueError("give either `images` or `album_id`")
        return self


class TagsRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer", "top_k": 5}})

    labels: list[Label] | None = Field(None, min_length=1, max_length=200, description="your own vocabulary")
    top_k: int | None = Field(None, ge=1, le=100, description="at most so many tags a picture")
    threshold: float | None = Field(None, ge=0, le=1, description="least probability of a tag")


class DuplicatesRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer", "level": "copy"}})

    level: Literal["exact", "copy", "similar"] = Field(
        "copy",
        description="exact: same bytes or same pixels. copy: edited copies too. similar: shots of one moment too",
    )


class ClustersRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer", "min_images": 2}})

    min_images: int = Field(1, ge=1, le=1_000_000, description="leave out people seen in fewer pictures")


class QualityRequest(AnalysisRequest):
    model_config = ConfigDict(json_schema_extra={"example": {"album_id": "summer"}})


class EmbeddingsResult(BaseModel):
    album_id: str
    embedded: int
    failed: list[Failed]
    jobs: list[JobLink]


class TagsResult(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"tags": {"beach": [EXAMPLE_REF]}, "failed": []}})

    tags: dict[str, list[str]]
    failed: list[Failed]
    scores: dict[str, dict[str, float]] | None = Field(None, description="with `detail`: image -> tag -> probability")


class DuplicateMember(BaseModel):
    image: str
    score: float = Field(description="how well it agrees with the picture to keep, 0 to 1")
    level: Literal["exact", "copy", "similar"]


class DuplicateGroup(BaseModel):
    group: str
    level: Literal["exact", "copy", "similar"]
    keep: str
    keep_reason: str
    members: list[DuplicateMember]


class DuplicatesResult(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"duplicates": {"duplicate_group_1": [EXAMPLE_REF, EXAMPLE_REF]}, "failed": []}}
    )

    duplicates: dict[str, list[str]]
    failed: list[Failed]
    groups: list[DuplicateGroup] | None = Field(None, description="with `detail`")


class PersonFace(BaseModel):
    image: str
    bbox: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels of the upright original")
    score: float
    quality: float


class Person(BaseModel):
    id: str = Field(description="stays the same when pictures are added")
    name: str = Field(description="its key in `people_clusters`")
    faces: list[PersonFace]
    representative_face: PersonFace


class ClustersResult(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"people_clusters": {"person1": [EXAMPLE_REF]}, "failed": []}}
    )

    people_clusters: dict[str, list[str]]
    failed: list[Failed]
    people: list[Person] | None = Field(None, description="with `detail`")
    unassigned_faces: list[PersonFace] | None = Field(None, description="with `detail`: too poor to tell")


class PictureQuality(BaseModel):
    image: str
    sharpness: float
    exposure: float
    score: float
    issues: list[str] = Field(examples=[["blurry"]])


class QualityResult(BaseModel):
    quality: list[PictureQuality]
    failed: list[Failed]


class AlbumImage(BaseModel):
    image: str
    id: str | None
    status: Literal["pending", "embedded", "failed"]
    code: str | None = None
    detail: str | None = None


class AlbumResults(BaseModel):
    """The latest result of each kind; null until there is one."""

    tags: dict[str, list[str]] | None
    duplicates: dict[str, list[str]] | None
    people_clusters: dict[str, list[str]] | None


class Album(BaseModel):
    album_id: str
    created_at: datetime
    updated_at: datetime
    images: list[AlbumImage]
    jobs: list[JobState] = Field(description="the newest first; what they found is in `results`")
    results: AlbumResults


class AlbumSummary(BaseModel):
    album_id: str
    created_at: datetime
    updated_at: datetime
    image_count: int


class AlbumList(BaseModel):
    items: list[AlbumSummary]
    next_cursor: str | None


class Hit(BaseModel):
    image: str
    score: float


class Hits(BaseModel):
    results: list[Hit]
