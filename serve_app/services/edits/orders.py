"""Where a job on one photograph begins: the order in the queue, its row in the history, and the photograph itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Jobs
from serve_app.services.images.references import References
from serve_app.services.images.service import view_of
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import Job
from serve_app.store.repositories import history, images
from serve_app.store.repositories.history import Generation, GenerationKind
from serve_app.store.repositories.images import StoredImage
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks for; each use case adds its own. None: left to the server."""

    image_url: str
    """The photograph: an image reference."""


AnyOrder = TypeVar("AnyOrder", bound=Order)
_FILES_URL = "files_url"
"""In a job's payload, beside the order: what a file's key is appended to in the answer."""


async def enqueue_order(
    session: AsyncSession, settings: Jobs, user_id: str, kind: str, order: Order, files_url: str
) -> Job:
    """Raises `Overloaded`."""
    return await jobs.enqueue(
        session,
        user_id=user_id,
        kind=kind,
        payload={**asdict(order), _FILES_URL: files_url},
        max_attempts=settings.max_attempts,
        priority=1,  # somebody waits for it
        max_queued=settings.max_queued,
    )


def order_of(job: Job, kind: type[AnyOrder]) -> AnyOrder:
    """The order that was put into the queue."""
    return kind(**{key: value for key, value in job.payload.items() if key != _FILES_URL})


def made_url(job: Job, made: StoredImage) -> str:
    """The URL, in the job's answer, of a picture that it made."""
    return str(job.payload[_FILES_URL] + view_of(made).key)


def asked(order: Order) -> dict[str, Any]:
    """What the history keeps of the order, the photograph aside."""
    return {key: value for key, value in asdict(order).items() if key != "image_url" and value is not None}


async def start_entry(
    session: AsyncSession, job: Job, kind: GenerationKind, order: Order, input_image_id: str | None = None
) -> Generation:
    """The job's row; it ends with the job, even if no worker ever has it."""
    return await history.start(
        session,
        job.user_id,
        kind,
        asked(order),
        input_ref=order.image_url,
        input_image_id=input_image_id,
        job_id=job.id,
    )


async def open_photograph(
    database: Database, references: References, job: Job, kind: GenerationKind, order: Order
) -> tuple[str, StoredImage]:
    """-> id of the history row, the photograph; what an earlier attempt fetched is not fetched again.

    Raises `ImageError`.
    """
    async with database.transaction() as session:
        row = await start_entry(session, job, kind, order)
        source = await images.get(session, job.user_id, row.input_image_id) if row.input_image_id else None
    if source is None:
        source = await references.open(job.user_id, order.image_url, temporary=True)
        async with database.transaction() as session:
            await history.describe(session, row.id, input_image_id=source.id)
    return row.id, source
