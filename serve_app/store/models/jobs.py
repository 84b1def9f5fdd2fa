"""Tables of the durable job queue; the rules are in `serve_app.store.queue.jobs`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id

_UNFINISHED = text("status IN ('queued', 'running')")


class JobRow(Created, Base):
    """A job."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="status"),
        CheckConstraint("progress >= 0 AND progress <= 1", name="progress"),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("stop_requested IN ('interrupt', 'skip')", name="stop_requested"),
        Index("jobs_queued_idx", "run_after", postgresql_where=text("status = 'queued'")),
        Index("jobs_lease_idx", "lease_until", postgresql_where=text("status = 'running'")),
        Index("jobs_finished_idx", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index(None, "user_id", "started_at"),
        Index(None, "user_id", "id"),
        Index(None, "album_id"),
        Index("jobs_dedupe_key", "user_id", "dedupe_key", unique=True, postgresql_where=_UNFINISHED),
        # Two jobs of one kind never work on one album at once: the database itself refuses.
        Index("jobs_one_running_key", "album_id", "kind", unique=True, postgresql_where=text("status = 'running'")),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    kind: Mapped[str]
    album_id: Mapped[str | None] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Higher priorities run first."""
    is_follow_up: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the server started it by itself, so that it takes none of the user's places in the queue."""
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    progress: Mapped[float] = mapped_column(server_default=text("0"))
    eta_s: Mapped[float | None]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of claims, and the fence: a worker's writes count only while this is the number it claimed with."""
    max_attempts: Mapped[int]
    """Number of failures with which it has failed for good."""
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of attempts that ran and failed, or died with their worker, since the job last got on."""
    postponements: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of times that it was put off since it last got on, because what it needs was away or full."""
    postponed_since: Mapped[datetime | None]
    """The first of these times."""
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    stop_requested: Mapped[str | None]
    """Request to a running job short of cancelling it: `interrupt` (end with what there is), `skip` (a part)."""
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    run_after: Mapped[datetime] = mapped_column(server_default=func.now())
    dedupe_key: Mapped[str | None]
    request_id: Mapped[str | None]
    """Id of the request that it was made for, by which its log lines are found."""
    traceparent: Mapped[str | None]
    """The place in a trace that it goes on from, as in the header of that name."""
    started_at: Mapped[datetime | None]
    """Start of the latest attempt."""
    finished_at: Mapped[datetime | None]


class JobInputRow(Base):
    """Input that only one job needs: written with the job, deleted when it ends."""

    __tablename__ = "job_inputs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class JobPreviewRow(Base):
    """Preview of what a running job makes: there while somebody asks for it, deleted when the job ends."""

    __tablename__ = "job_previews"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Time when somebody last asked, give or take a few seconds."""
    number: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of previews made so far, by which clients tell a new one."""
    image: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The newest preview, an image file."""
