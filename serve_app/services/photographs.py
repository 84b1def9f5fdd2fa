"""Where a job that makes a picture of a photograph begins: its row in the history, and the photograph itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.services.references import References
from serve_app.store.jobs import Job
from serve_app.store.repositories import generations, images
from serve_app.store.repositories.generations import Generation, GenerationKind
from serve_app.store.repositories.images import StoredImage
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks for; each use case adds its own. None: left to the server."""

    image_url: str
    """The photograph: an image reference."""


def asked(order: Order) -> dict[str, Any]:
    """What the history keeps of the order, the photograph aside."""
    return {key: value for key, value in asdict(order).items() if key != "image_url" and value is not None}


async def start_entry(
    session: AsyncSession, job: Job, kind: GenerationKind, order: Order, input_image_id: str | None = None
) -> Generation:
    """The job's row; it ends with the job, even if no worker ever has it."""
    return await generations.start(
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
            await generations.describe(session, row.id, input_image_id=source.id)
    return row.id, source
