"""Edit requests, jobs on one photograph: queueing, history row and source image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Jobs
from serve_app.services.images.references import ImageReferences
from serve_app.services.images.service import view_of
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import history, images
from serve_app.store.repositories.history import GenerationKind, HistoryEntry
from serve_app.store.repositories.images import StoredImage
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class EditRequest:
    """A requested edit; each use case adds its fields. None: left to the server."""

    image_url: str
    """The photograph: an image reference."""


AnyEdit = TypeVar("AnyEdit", bound=EditRequest)
_FILES_URL = "files_url"
"""In a job's payload, beside the order: what a file's key is appended to in the answer."""


async def enqueue_edit(
    session: AsyncSession, settings: Jobs, user_id: str, kind: str, order: EditRequest, files_url: str
) -> QueuedJob:
    """Put the job of an edit into the queue. Raises `Overloaded`."""
    return await jobs.enqueue(
        session,
        user_id=user_id,
        kind=kind,
        payload={**asdict(order), _FILES_URL: files_url},
        max_attempts=settings.max_attempts,
        priority=1,  # somebody waits for it
        max_queued=settings.max_queued,
    )


def edit_of(job: QueuedJob, kind: type[AnyEdit]) -> AnyEdit:
    """Read back the request that was put into the queue."""
    return kind(**{key: value for key, value in job.payload.items() if key != _FILES_URL})


def result_url(job: QueuedJob, made: StoredImage) -> str:
    """The URL, in the job's answer, of an image that it made."""
    return str(job.payload[_FILES_URL] + view_of(made).key)


def history_parameters(order: EditRequest) -> dict[str, Any]:
    """The fields of the request that the history keeps: all that are set but the photograph."""
    return {key: value for key, value in asdict(order).items() if key != "image_url" and value is not None}


async def start_history(
    session: AsyncSession, job: QueuedJob, kind: GenerationKind, order: EditRequest, input_image_id: str | None = None
) -> HistoryEntry:
    """Start the job's history row, which ends with the job, even if no worker ever claims it."""
    return await history.start(
        session,
        job.user_id,
        kind,
        history_parameters(order),
        input_ref=order.image_url,
        input_image_id=input_image_id,
        job_id=job.id,
    )


async def load_source_image(
    database: Database, references: ImageReferences, job: QueuedJob, kind: GenerationKind, order: EditRequest
) -> tuple[str, StoredImage]:
    """Load the photograph. -> id of the history row, image. What an earlier attempt fetched is not fetched again.

    Raises `ImageError`.
    """
    async with database.transaction() as session:
        row = await start_history(session, job, kind, order)
        source = await images.get(session, job.user_id, row.input_image_id) if row.input_image_id else None
    if source is None:
        source = await references.open(job.user_id, order.image_url, temporary=True)
        async with database.transaction() as session:
            await history.describe(session, row.id, input_image_id=source.id)
    return row.id, source
