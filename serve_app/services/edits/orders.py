"""First steps of a job on one image: its payload in the queue, its row in the history, the image itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Jobs
from serve_app.services.images.references import ImageReferences
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import history, images
from serve_app.store.repositories.history import GenerationKind, HistoryEntry
from serve_app.store.repositories.images import StoredImage
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class EditRequest:
    """Parameters of an edit as clients name them; each use case adds its own. None: left to the server."""

    image_url: str
    """The image to edit: an image reference, or the id of an image that came with the request."""


AnyEdit = TypeVar("AnyEdit", bound=EditRequest)


def find_name(wanted: str, known: Iterable[str]) -> str | None:
    """Find a name among those of styles or animals, in any case; None: there is no such."""
    return next((name for name in known if name.casefold() == wanted.casefold()), None)


async def enqueue_edit(session: AsyncSession, settings: Jobs, user_id: str, kind: str, edit: EditRequest) -> QueuedJob:
    """Queue a job of this kind for the edit. Raises `Overloaded`."""
    return await jobs.enqueue(
        session,
        user_id=user_id,
        kind=kind,
        payload=asdict(edit),
        max_attempts=settings.max_attempts,
        priority=1,  # a client waits for it
        max_queued=settings.max_queued,
        max_queued_total=settings.max_queued_total,
    )


def edit_of(job: QueuedJob, kind: type[AnyEdit]) -> AnyEdit:
    """Read the edit from a job's payload. Payloads of earlier versions hold more, which is ignored."""
    known = {field.name for field in fields(kind)}
    return kind(**{key: value for key, value in job.payload.items() if key in known})


def history_parameters(edit: EditRequest) -> dict[str, Any]:
    """Parameters of the edit that the history keeps: those that are set, without the image."""
    return {key: value for key, value in asdict(edit).items() if key != "image_url" and value is not None}


async def start_history(
    session: AsyncSession, job: QueuedJob, kind: GenerationKind, edit: EditRequest, input_image_id: str | None = None
) -> HistoryEntry:
    """Add the job's row to the history; it ends with the job, even if no worker ever has it.

    `input_image_id`: an image that came with the request, which then names no reference.
    """
    return await history.start(
        session,
        job.user_id,
        kind,
        history_parameters(edit),
        input_ref=edit.image_url if input_image_id is None else None,
        input_image_id=input_image_id,
        job_id=job.id,
    )


async def load_source_image(
    database: Database, references: ImageReferences, job: QueuedJob, kind: GenerationKind, edit: EditRequest
) -> tuple[str, StoredImage]:
    """Load the image to edit. -> id of the history row, the image. An earlier attempt's fetch is not repeated.

    Raises `ImageError`.
    """
    async with database.transaction() as session:
        row = await start_history(session, job, kind, edit)
        source = await images.get(session, job.user_id, row.input_image_id) if row.input_image_id else None
    if source is None:
        source = await references.open(job.user_id, edit.image_url, temporary=True)
        async with database.transaction() as session:
            await history.describe(session, row.id, input_image_id=source.id)
    return row.id, source
