"""Job results: the base class of all, references to files and jobs in them, and a job as clients see it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Protocol, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    WithJsonSchema,
)

from serve_app.store.queue.jobs import JobStatus, QueuedJob


class JobResult(BaseModel):
    """The result of a job, built by its handler: stored without URLs, answered with them.

    `model_dump(mode="json")` is what is stored; with `Links` as its context it is the body of the answer.
    """


class Links(Protocol):
    """Maker of URLs for one answer: the serialization context of results."""

    def file(self, key: str) -> str:
        """URL of a stored file. `key`: `ImageView.key`."""
        ...

    def job(self, job_id: str) -> str:
        """URL of a job."""
        ...

    def image(self, image_id: str) -> str:
        """URL of what is known of an image."""
        ...

    def album(self, path: str) -> str:
        """URL of something of an album. `path`: the album's id, quoted, and what follows it."""
        ...

    def person(self, person_id: str) -> str:
        """URL of a person."""
        ...


def is_none(value: Any) -> bool:
    """Condition of fields that an answer leaves out instead of sending null."""
    return value is None


def _last_segment(value: Any) -> Any:
    return value.rpartition("/")[2] if isinstance(value, str) else value


def _file_url(key: str, info: SerializationInfo) -> str:
    links: Links | None = info.context
    return key if links is None else links.file(key)


def _job_url(job_id: str, info: SerializationInfo) -> str:
    links: Links | None = info.context
    return job_id if links is None else links.job(job_id)


def _album_url(path: str, info: SerializationInfo) -> str:
    links: Links | None = info.context
    return path if links is None else links.album(path)


# Rows of earlier versions hold URLs, whose last segment is the key or the id.
FileUrl = Annotated[str, BeforeValidator(_last_segment), PlainSerializer(_file_url)]
"""A stored file: its key in the model and in the database, its URL in answers."""
JobUrl = Annotated[str, BeforeValidator(_last_segment), PlainSerializer(_job_url)]
"""A job: its id in the model and in the database, its URL in answers."""
CameraTime = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?$"}),
]
"""A time on a camera's clock, ISO 8601: with its time zone, or without one where it is not known."""
AlbumUrl = Annotated[str, PlainSerializer(_album_url)]
"""Something of an album: its path below `/albums/` in the model and in the database, its URL in answers."""


class JobLink(BaseModel):
    id: str
    kind: str
    href: JobUrl


class JobWait(BaseModel):
    """Why a job waits that has begun before: what it needs is away or full, and it is tried again."""

    reason: dict[str, Any] = Field(description="a problem document")
    since: datetime
    next_try_at: datetime


class JobState(BaseModel):
    """How far a job is."""

    id: str
    kind: str
    status: JobStatus
    progress: float = Field(ge=0, le=1)
    eta_s: float | None = Field(description="seconds left, once that is more than a guess")
    problem: dict[str, Any] | None = Field(description="why it failed: a problem document")
    waiting: JobWait | None = Field(
        None, description="why it waits, where what it needs was away or full; such a wait is no failure"
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: QueuedJob) -> Self:
        """Describe a queued job. The problem of an attempt that will be repeated is left out."""
        state = cls.model_validate(job, from_attributes=True)
        if job.status == "queued" and job.postponed_since is not None and job.problem is not None:
            state.waiting = JobWait(reason=job.problem, since=job.postponed_since, next_try_at=job.run_after)
        if state.status != "failed":
            state.problem = None
        if job.is_finished:
            state.eta_s = 0.0 if state.status == "succeeded" else None
        return state


class JobSummary(JobState):
    """A job in a list: what it found is at `href`."""

    href: JobUrl
    album_id: str | None = Field(description="the album that it is about, where it has a name or an id of ours")

    @classmethod
    def of_album(cls, job: QueuedJob, album: str | None) -> Self:
        """Describe a queued job of the album that the user calls so."""
        state = JobState.of(job)
        return cls(**state.model_dump(), href=job.id, album_id=album)


class JobPage(BaseModel):
    """A page of jobs, the newest first."""

    items: list[JobSummary]
    next_cursor: str | None


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
                "waiting": None,
                "result": None,
                "created_at": "2026-03-01T12:00:00Z",
                "started_at": "2026-03-01T12:00:01Z",
                "finished_at": None,
            }
        }
    )

    result: dict[str, Any] | None
