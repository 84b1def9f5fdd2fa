"""What goes over the wire. Field names are fixed by the HTTP contract."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from deployments.contracts.diffusion import MAX_SEED
from serve_app.services.accounts.users import clean_email, clean_username

ImageRef = Annotated[str, StringConstraints(min_length=1, max_length=8192)]
AlbumId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]+$")]

StyleName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
Prompt = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]

EXAMPLE_REF = "http://127.0.0.1:8000/api/v1/files/img_0198c3f2a1b27c3d.jpg"


class Body(BaseModel):
    """A request body: an unknown field is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid")


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


class Failed(BaseModel):
    """A picture that could not be used, and why."""

    image: str
    code: str = Field(examples=["fetch_failed"])
    detail: str


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


class JobLink(BaseModel):
    id: str
    kind: str
    href: str


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


class JobState(BaseModel):
    """How far a job is."""

    id: str
    kind: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: float = Field(ge=0, le=1)
    eta_s: float | None = Field(description="seconds left, once that is more than a guess")
    problem: dict[str, Any] | None = Field(description="why it failed: a problem document")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Job(JobState):
    """A job with what it found: the answer that the call would have given."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "job_01m80cw92wytpj416mh8yyxn5m",
                "kind": "tags",
                "status": "running",
                "progress": 0.4,
                "eta_s": 3.2,
                "problem": None,
                "result": None,
                "created_at": "2026-03-01T12:00:00Z",
                "started_at": "2026-03-01T12:00:01Z",
                "finished_at": None,
            }
        }
    )

    result: dict[str, Any] | None


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


class StyleEntry(BaseModel):
    name: str
    title: str
    description: str
    engines: list[str] = Field(description="tried in this order")


class StyleList(BaseModel):
    styles: list[StyleEntry]


class StyleRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"image_url": EXAMPLE_REF, "style_name": "watercolor"}})

    image_url: ImageRef = Field(description="an image reference")
    style_name: StyleName
    prompt: Prompt | None = Field(None, description="instead of the one that is written from the picture")
    negative_prompt: Prompt | None = Field(None, description="instead of the style's own")
    strength: float | None = Field(None, ge=0, le=1, description="how far from the photograph")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="the same one makes the same picture again")
    engine: StyleName | None = Field(None, description="this one only, of those that `GET /styles` lists")


class StyleResult(BaseModel):
    image_url: str
    style_name: str
    engine: str = Field(description="the one that made the picture")
    prompt: str
    seed: int
    history_id: str
    warnings: list[str] | None = Field(None, description="what was left out, or done otherwise than asked")


class HistoryItem(BaseModel):
    id: str
    user: str
    kind: Literal["style", "avatar", "txt2img", "img2img"]
    status: Literal["started", "succeeded", "failed", "cancelled"]
    input: str | None = Field(description="the image reference, as it was sent")
    output_url: str | None = Field(description="the first picture; null when there is none, or it was deleted")
    output_urls: list[str]
    parameters: dict[str, Any]
    engine: str | None = Field(description="the one that made the picture")
    duration: float | None = Field(description="seconds of the last attempt")
    problem: dict[str, Any] | None = Field(description="why it failed: a problem document")
    job: str | None
    created_at: datetime
    finished_at: datetime | None


class History(BaseModel):
    items: list[HistoryItem] = Field(description="the newest first")
    next_cursor: str | None


class UserRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"username": "eva", "email": "eva@example.org"}})

    username: Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(clean_username)] = Field(
        description="1 to 64 characters; case makes no other name"
    )
    email: Annotated[str, StringConstraints(min_length=3, max_length=512), AfterValidator(clean_email)]


class TutorialUser(BaseModel):
    id: str
    username: str
    email: str


class UserView(TutorialUser):
    created_at: datetime


class NewKey(BaseModel):
    api_key: str = Field(description="shown this once", examples=["dk_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])


class NewUser(UserView, NewKey):
    """A user with the key."""


class UserList(BaseModel):
    items: list[UserView] = Field(description="the newest first")
    next_cursor: str | None
