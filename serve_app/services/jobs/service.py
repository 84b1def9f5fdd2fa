"""Jobs as clients see them: list, look, wait, watch, cancel, try again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Jobs as JobSettings
from deployments.errors import Conflict, NotFound
from serve_app.services.jobs.results import JobPage, JobSummary
from serve_app.store.queue import jobs
from serve_app.store.queue.events import JobEvents, follow, wait_until_finished
from serve_app.store.queue.jobs import JobStatus, QueuedJob
from serve_app.store.repositories import albums, history
from serve_app.store.session import Database

__all__ = ["JobService", "QueuedJob"]

_RETRIED = ("failed", "cancelled")


class JobService:
    """Use cases of jobs. Every method raises `NotFound` for a job that is not the user's."""

    def __init__(self, database: Database, events: JobEvents, limits: JobSettings) -> None:
        self._database = database
        self._events = events
        self._limits = limits

    async def get(self, user_id: str, job_id: str) -> QueuedJob:
        """Load a job."""
        async with self._database.transaction() as session:
            job = await jobs.get(session, job_id, user_id=user_id)
        return _found(job, job_id)

    async def load_page(
        self,
        user_id: str,
        limit: int,
        cursor: str | None,
        *,
        status: JobStatus | None = None,
        kind: str | None = None,
        album: str | None = None,
    ) -> JobPage:
        """Load the user's jobs, newest first, and the cursor of the next page. `album`: the user's name for it.

        Raises `InvalidRequest` for a cursor that is none, `NotFound` for an album that is not the user's.
        """
        async with self._database.transaction() as session:
            of = None if album is None else await albums.find_own(session, user_id, album)
            page = await jobs.load_page(
                session, user_id, limit + 1, cursor, status=status, kind=kind, album_id=of.id if of else None
            )
            items = await summarize(session, page[:limit])
        return JobPage(items=items, next_cursor=page[limit - 1].id if len(page) > limit else None)

    async def retry(self, user_id: str, job_id: str) -> QueuedJob:
        """Start the work of a job that failed or was cancelled anew, as a new job. -> the new job

        Raises `Conflict` for a job that has not failed, or whose pictures came with its request and are gone.
        """
        async with self._database.transaction() as session:
            old = _found(await jobs.get(session, job_id, user_id=user_id), job_id)
            if old.status not in _RETRIED:
                raise Conflict(f"The job is {old.status}: only one that failed or was cancelled is tried again.")
            if not old.payload or _had_inputs(old):
                raise Conflict("What the job worked on is gone: send its request again.")
            job = await jobs.enqueue(
                session,
                user_id=user_id,
                kind=old.kind,
                payload=old.payload,
                album_id=old.album_id,
                priority=old.priority,
                max_attempts=self._limits.max_attempts,
                max_queued=self._limits.max_queued,
                max_queued_total=self._limits.max_queued_total,
            )
            await history.start_again(session, old.id, job.id)
            return job

    async def wait(self, user_id: str, job_id: str, timeout_s: float) -> QueuedJob:
        """Wait for the end of a job. -> the job when it has ended, or as it is after `timeout_s`."""
        return await wait_until_finished(self._database, self._events, job_id, timeout_s, user_id=user_id)

    async def watch(self, user_id: str, job_id: str, quiet_s: float) -> AsyncIterator[QueuedJob | None]:
        """Yield the job now and on each change, until it has ended; None whenever nothing has changed for `quiet_s`."""
        await self.get(user_id, job_id)
        async for job in follow(self._database, self._events, job_id, quiet_s=quiet_s):
            yield job

    async def cancel(self, user_id: str, job_id: str) -> QueuedJob:
        """Cancel a job: one that waits at once, one that runs is asked to stop."""
        async with self._database.transaction() as session:
            job = await jobs.cancel(session, user_id, job_id)
        return _found(job, job_id)


async def summarize(session: AsyncSession, page: Sequence[QueuedJob]) -> list[JobSummary]:
    """Describe jobs as lists do, with the users' names of their albums."""
    named = await albums.load_public_ids(session, [job.album_id for job in page if job.album_id])
    return [JobSummary.of_album(job, named.get(job.album_id or "")) for job in page]


def _had_inputs(job: QueuedJob) -> bool:
    """Whether pictures were sent along, which were deleted with its end."""
    return job.kind == "img2img" or bool(job.payload.get("units"))


def _found(job: QueuedJob | None, job_id: str) -> QueuedJob:
    if job is None:
        raise NotFound(f"There is no job '{job_id}'.")
    return job
