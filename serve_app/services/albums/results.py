"""Results of embeddings and analyses, and albums as clients see them. Field names are fixed by the HTTP contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from deployments.contracts.albums import DuplicateLevel
from serve_app.services.images.references import EXAMPLE_REF
from serve_app.services.jobs.results import AlbumUrl, CameraTime, FileUrl, JobLink, JobResult, JobState, is_none
from serve_app.store.repositories.albums import ItemStatus, StoredAlbum


class Failed(BaseModel):
    """An image that could not be used, and why."""

    image: str
    code: str = Field(examples=["fetch_failed"])
    detail: str


class EmbeddingsResult(JobResult):
    album_id: str
    embedded: int
    failed: list[Failed]
    jobs: list[JobLink]


class AnalysisResult(JobResult):
    """The result of an analysis, stored with its details and answered with them where they are asked for."""

    details: ClassVar[tuple[str, ...]] = ()
    """Fields that only a detailed answer has."""

    def without_details(self) -> Self:
        return self.model_copy(update=dict.fromkeys(self.details))


class TagsResult(AnalysisResult):
    model_config = ConfigDict(json_schema_extra={"example": {"tags": {"beach": [EXAMPLE_REF]}, "failed": []}})
    details = ("scores",)

    tags: dict[str, list[str]]
    failed: list[Failed]
    scores: dict[str, dict[str, float]] | None = Field(
        None, exclude_if=is_none, description="with `detail`: image -> tag -> probability"
    )


class DuplicateMember(BaseModel):
    image: str
    score: float = Field(description="how well it agrees with the image to keep, 0 to 1")
    level: DuplicateLevel


class DuplicateGroup(BaseModel):
    group: str
    id: str | None = Field(None, description="made of what its members hold; null: of an older version")
    level: DuplicateLevel
    burst: bool = Field(False, description="shots that were taken one after the other: `keep` is the best of them")
    keep: str
    keep_reason: str
    members: list[DuplicateMember]


class DuplicatesResult(AnalysisResult):
    model_config = ConfigDict(
        json_schema_extra={"example": {"duplicates": {"duplicate_group_1": [EXAMPLE_REF, EXAMPLE_REF]}, "failed": []}}
    )
    details = ("groups",)

    duplicates: dict[str, list[str]]
    failed: list[Failed]
    groups: list[DuplicateGroup] | None = Field(None, exclude_if=is_none, description="with `detail`")


class PersonFace(BaseModel):
    image: str
    bbox: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels of the upright original")
    score: float
    quality: float


class Person(BaseModel):
    id: str = Field(description="stays the same when images are added")
    name: str = Field(description="its key in `people_clusters`")
    faces: list[PersonFace]
    representative_face: PersonFace


class ClustersResult(AnalysisResult):
    model_config = ConfigDict(
        json_schema_extra={"example": {"people_clusters": {"person1": [EXAMPLE_REF]}, "failed": []}}
    )
    details = ("people", "unassigned_faces")

    people_clusters: dict[str, list[str]]
    failed: list[Failed]
    people: list[Person] | None = Field(None, exclude_if=is_none, description="with `detail`")
    unassigned_faces: list[PersonFace] | None = Field(
        None, exclude_if=is_none, description="with `detail`: too poor to tell, or of bystanders"
    )


class PictureQuality(BaseModel):
    image: str
    sharpness: float
    exposure: float
    score: float
    issues: list[str] = Field(examples=[["blurry"]])


class QualityResult(AnalysisResult):
    quality: list[PictureQuality]
    failed: list[Failed]


class TextLineView(BaseModel):
    """A line, or a cell of a table."""

    text: str = Field(examples=["Croissant with ham"])
    corners: list[tuple[float, float]] = Field(
        min_length=4,
        max_length=4,
        description="in pixels of the upright original, clockwise from the text's own top left",
        examples=[[[112, 40], [391, 42], [391, 66], [112, 64]]],
    )
    score: float = Field(description="that there is text, 0 to 1", examples=[0.81])
    text_score: float = Field(description="that it says this, 0 to 1", examples=[0.98])


class PictureText(BaseModel):
    image: str
    text: str = Field(
        description="all of it in reading order: a line for each row, cells separated by a tab; empty: none was found",
        examples=["Espresso\t2\t5.00\nTotal\t2\t5.00"],
    )
    lines: list[TextLineView] | None = Field(None, exclude_if=is_none, description="with `detail`: in the same order")


class TextsResult(AnalysisResult):
    texts: list[PictureText]
    failed: list[Failed]

    def without_details(self) -> Self:
        return self.model_copy(update={"texts": [one.model_copy(update={"lines": None}) for one in self.texts]})


class ResultPages(JobResult):
    """The result of an analysis of a large album: how much was found, and where its pages begin."""

    kind: str
    counts: dict[str, int] = Field(description="list -> its number of entries", examples=[{"people": 7, "faces": 940}])
    pages: dict[str, AlbumUrl] = Field(description="list -> its first page, with all details")


ANALYSIS_RESULTS: Mapping[str, type[AnalysisResult]] = {
    "tags": TagsResult,
    "duplicates": DuplicatesResult,
    "people": ClustersResult,
    "quality": QualityResult,
    "texts": TextsResult,
}
"""Kind of analysis -> the class of its result."""


class AlbumImage(BaseModel):
    image: str
    id: str | None
    status: ItemStatus
    code: str | None = None
    detail: str | None = None
    filename: str | None = Field(None, description="the name that its file came with")


class AlbumResults(BaseModel):
    """The latest result of each kind; null until there is one, and for a large album, whose results are in `pages`."""

    tags: dict[str, list[str]] | None = None
    duplicates: dict[str, list[str]] | None = None
    people_clusters: dict[str, list[str]] | None = None
    pages: dict[str, ResultPages] | None = Field(
        None, exclude_if=is_none, description="of a large album: kind of analysis -> its latest result"
    )


class NotInAlbum(BaseModel):
    image: str
    code: Literal["not_in_album"] = "not_in_album"


class ImageCounts(BaseModel):
    pending: int
    embedded: int
    failed: int


class AlbumSummary(BaseModel):
    id: str = Field(description="our id of the album, which stays and fits into every path")
    album_id: str
    title: str | None = Field(description="what people read in place of `album_id`")
    created_at: datetime
    updated_at: datetime
    image_count: int

    @classmethod
    def of(cls, album: StoredAlbum) -> Self:
        """Describe an album."""
        return cls.model_validate({**asdict(album), "album_id": album.public_id, "image_count": album.image_count})

    @property
    def revision(self) -> str:
        """Name of this state of what can be changed."""
        return hashlib.sha256(json.dumps([self.id, self.title]).encode()).hexdigest()[:32]


AlbumPart = Literal["images", "jobs", "results"]
ALBUM_PARTS: tuple[AlbumPart, ...] = ("images", "jobs", "results")
"""What the description of an album holds where nothing else is asked for."""


class Album(AlbumSummary):
    counts: ImageCounts
    images: list[AlbumImage] = Field([], description="all, or of a large album the first")
    next_cursor: str | None = Field(None, description="of a large album: where `GET /albums/{id}/images` goes on")
    jobs: list[JobState] = Field([], description="the newest first; what they found is in `results`")
    results: AlbumResults = AlbumResults()


class RemovedImages(BaseModel):
    removed: list[str]
    failed: list[NotInAlbum]


class Page(BaseModel):
    """A page of a list."""

    next_cursor: str | None = Field(description="`cursor` of the next page; null: this is the last one")


class ImagePage(Page):
    items: list[AlbumImage]


class TaggedImage(BaseModel):
    image: str
    tags: dict[str, float] = Field(description="tag -> probability")


class TagPage(Page):
    items: list[TaggedImage]


class DuplicateMemberEntry(DuplicateMember):
    """A member of a group with what is known of it; nulls: it is not in the album any more."""

    id: str | None = None
    filename: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    format: str | None = Field(None, examples=["image/jpeg"])
    quality: float | None = Field(None, description="0 to 1; null: not judged yet")
    taken_at: CameraTime | None = Field(None, description="on the camera's clock, as `GET /images/{id}` has it")
    thumbnails: dict[str, FileUrl] = {}


GroupStatus = Literal["open", "resolved", "dismissed", "changed"]


class DuplicateGroupEntry(BaseModel):
    id: str | None = Field(None, description="made of what its members hold: with other members it is another group")
    level: DuplicateLevel
    burst: bool = Field(False, description="shots that were taken one after the other: `keep` is the best of them")
    status: GroupStatus = Field(
        "open",
        description="changed: a member is not in the album any more, or some were said to be no duplicates since",
    )
    keep: str
    keep_reason: str
    correction_id: str | None = Field(None, description="of the decision: `DELETE /corrections/{id}` takes it back")
    members: list[DuplicateMemberEntry]


class DuplicateDecision(BaseModel):
    """What became of a group."""

    id: str
    status: Literal["resolved", "dismissed"]
    correction_id: str = Field(description="`DELETE /corrections/{id}` takes the decision back")
    trashed: list[str] = Field(description="ids of the images that lie in the trash now")
    bytes: int = Field(description="of their files, as quotas count them, freed when the trash is emptied")


class DuplicatePlan(BaseModel):
    """What is done, or would be, when all open groups are resolved."""

    groups: int
    images: int = Field(description="that go into the trash")
    bytes: int = Field(description="of their files, as quotas count them, freed when the trash is emptied")
    plan: str = Field(description="names just these groups and images: a run with it does this or nothing")


class DuplicatesResolved(JobResult, DuplicatePlan):
    """What was done."""

    correction_id: str | None = Field(
        description="`DELETE /corrections/{id}` takes all of it back; null: there was nothing to do"
    )


class DuplicatePage(Page):
    items: list[DuplicateGroupEntry]


class PersonEntry(BaseModel):
    id: str = Field(description="stays the same when images are added")
    image_count: int
    face_count: int
    representative_face: PersonFace


class PeoplePage(Page):
    items: list[PersonEntry]


class FaceEntry(PersonFace):
    person: str | None = Field(description="null: too poor to tell, or of bystanders")


class FacePage(Page):
    items: list[FaceEntry]


class QualityPage(Page):
    items: list[PictureQuality]


class TextPage(Page):
    items: list[PictureText]


class FailedPage(Page):
    items: list[Failed]


class AlbumList(BaseModel):
    items: list[AlbumSummary]
    next_cursor: str | None


class Hit(BaseModel):
    image: str
    score: float


class Hits(BaseModel):
    results: list[Hit]
