"""Lists of images: what is asked for, and what is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from serve_app.api.schemas.common import AlbumId, Body, Label, WrittenTime
from serve_app.api.schemas.images import PlaceView, TagChange
from serve_app.services.albums.batches import Action
from serve_app.services.jobs.results import CameraTime, FileUrl, JobUrl
from serve_app.store.repositories.library import Filters, Sort

IMAGE_FIELDS = (
    *("id", "url", "filename", "width", "height", "bytes", "content_type", "sha256", "taken_at", "created_at"),
    *("camera", "place", "thumbnails", "tags", "quality", "trashed_at"),
)
"""Fields of an image of a list."""


def _fields(names: str) -> str:
    unknown = sorted(set(names.split(",")) - set(IMAGE_FIELDS))
    if unknown:
        raise ValueError(f"there is no field '{unknown[0]}'; there are {', '.join(IMAGE_FIELDS)}")
    return names


def _zoned(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Moment = Annotated[WrittenTime, AfterValidator(_zoned)]
"""A time, in UTC where it names no zone."""


class ImageFilters(Body):
    """Which images."""

    album_id: AlbumId | None = None
    tag: Label | None = None
    person_id: Annotated[str, StringConstraints(pattern="^per_[0-9a-z]{1,40}$")] | None = None
    taken_from: Moment | None = Field(None, description="the first moment; without a zone: UTC")
    taken_to: Moment | None = Field(None, description="the first moment after")
    min_quality: float | None = Field(None, ge=0, le=1)
    issue: Annotated[str, StringConstraints(pattern="^[a-z_-]{1,40}$")] | None = Field(None, examples=["blurry"])
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="of the file: equal files are several images"
    )

    @property
    def filters(self) -> Filters:
        return Filters(
            album_id=self.album_id,
            tag=self.tag and self.tag.lower(),
            person_id=self.person_id,
            taken_from=self.taken_from,
            taken_to=self.taken_to,
            min_quality=self.min_quality,
            issue=self.issue,
            sha256=self.sha256,
        )


class ImagesQuery(ImageFilters):
    """Which images, in which order."""

    sort: Sort = Field("added", description="the latest or best first; an image without a time is of its upload")
    limit: int = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before, in the same order")
    fields: Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(_fields)] | None = Field(
        None, description="only these fields, separated by commas", examples=["id,thumbnails"]
    )

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(IMAGE_FIELDS if self.fields is None else self.fields.split(","))


class SearchQuery(ImageFilters):
    """What is looked for, among which images."""

    q: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*\S[^\x00]*$",
        description="words; -word excludes",
        examples=["dog on a beach"],
    )
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")


class TrashQuery(Body):
    """A page of the trash."""

    limit: int = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")


class BatchRequest(Body):
    """One action on many images."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"ids": ["img_01m80cw92wytpj416mh8yyxn5m"], "action": "trash"}}
    )

    ids: list[Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]] = Field(
        min_length=1, max_length=500
    )
    action: Action
    album_id: AlbumId | None = Field(None, description="of `add_to_album`, which makes it, and `remove_from_album`")
    tags: TagChange | None = Field(None, description="of `tag`, which changes them as `PATCH /images/{id}` does")


class BatchFailure(BaseModel):
    id: str
    code: str = Field(description="not_found, trashed, not_in_album, too_many_tags", examples=["not_found"])


class BatchAnswer(BaseModel):
    done: list[str]
    failed: list[BatchFailure]
    job: JobUrl | None = Field(None, description="reads the images that were added to an album")
    changed: list[str] | None = Field(None, description="those of `done` that are not as before; null: not known")


class QualityView(BaseModel):
    score: float | None = Field(description="0 to 1; null: not judged yet")
    issues: list[str]


class ImageItem(BaseModel):
    """An image of a list. With `fields` it has these only."""

    id: str = ""
    url: FileUrl = ""
    filename: str | None = None
    width: int = 0
    height: int = 0
    bytes: int = 0
    content_type: str = ""
    sha256: str = ""
    taken_at: CameraTime | None = Field(None, description="on the camera's clock, as `GET /images/{id}` has it")
    created_at: datetime | None = Field(None, description="when it was uploaded or fetched")
    camera: str | None = None
    place: PlaceView | None = None
    thumbnails: dict[str, FileUrl] = {}
    tags: list[str] = Field([], description="the user's own first, then the model's")
    quality: QualityView | None = None
    trashed_at: datetime | None = None


class ImageList(BaseModel):
    items: list[ImageItem]
    next_cursor: str | None


class FoundImage(ImageItem):
    """An image that a search found."""

    score: float = Field(0.0, ge=0, le=1)
    matched: list[str] = Field(
        [],
        description="why: `tag:` a tag, `person:` who it shows, `name:` its name, `text:` a line, `shows:` its content",
        examples=[["tag:dog", "shows:dog on a beach"]],
    )


class FoundList(BaseModel):
    items: list[FoundImage] = Field(description="the best first")
    next_cursor: str | None


class SuggestedWord(BaseModel):
    kind: Literal["tag", "album", "person"] = Field(
        description="where it leads: `tag=`, `album_id=` or `person_id=` of a search"
    )
    value: str = Field(examples=["dog"])
    title: str | None = Field(None, description="of an album; of a person the name")
    count: int = Field(description="images, of a tag up to 1000", examples=[12])


class Suggestions(BaseModel):
    items: list[SuggestedWord]
