"""Previews of running jobs: asked for by clients of any process, made by the job's worker while somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.models import JobPreviewRow, JobRow
from serve_app.store.queue import jobs

ASKED_S = 10.0
"""Seconds for which a question counts: clients ask every second or two."""
_RENEW_S = 3.0
"""Seconds after which a question is noted anew."""


@dataclass(frozen=True, slots=True)
class JobPreview:
    """The newest preview of a job."""

    number: int
    image: bytes
    """Image file."""


async def ask(session: AsyncSession, job_id: str) -> JobPreview | None:
    """Get the newest preview of a running job, and have its worker make more of them. None: there is none yet."""
    is_fresh = JobPreviewRow.asked_at > func.now() - timedelta(seconds=_RENEW_S)
    found = await session.execute(
        select(JobPreviewRow.number, JobPreviewRow.image, is_fresh).where(JobPreviewRow.job_id == job_id)
    )
    row = found.one_or_none()
    if row is None or not row[2]:
        await _note(session, job_id)
    return JobPreview(row.number, row.image) if row is not None and row.image is not None else None


async def is_asked(session: AsyncSession, job_id: str) -> bool:
    """Say whether somebody asks for previews of the job."""
    return bool(await session.scalar(select(func.count()).where(JobPreviewRow.job_id == job_id, _IS_ASKED)))


async def store(session: AsyncSession, job_id: str, image: bytes) -> bool:
    """Replace the job's preview. -> whether somebody still asks for more"""
    values = {"image": image, "number": JobPreviewRow.number + 1}
    statement = update(JobPreviewRow).where(JobPreviewRow.job_id == job_id).values(values).returning(_IS_ASKED)
    return bool(await session.scalar(statement))


async def _note(session: AsyncSession, job_id: str) -> None:
    """Note the question. The job is locked meanwhile, so that no row outlives it."""
    running = select(JobRow.id).where(JobRow.id == job_id, JobRow.status == "running").with_for_update(read=True)
    if await session.scalar(running) is None:
        return
    asked = insert(JobPreviewRow).values(job_id=job_id)
    await session.execute(
        asked.on_conflict_do_update(index_elements=[JobPreviewRow.job_id], set_={"asked_at": func.now()})
    )
    await jobs.call_worker(session, job_id)


_IS_ASKED = JobPreviewRow.asked_at > func.now() - timedelta(seconds=ASKED_S)
