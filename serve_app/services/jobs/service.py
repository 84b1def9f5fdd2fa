"""Jobs as clients see them: look, wait, watch, cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator

from deployments.errors import NotFound
from serve_app.store.queue import jobs
from serve_app.store.queue.events import JobEvents, follow, wait_until_finished
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.session import Database

__all__ = ["JobService", "QueuedJob"]


class JobService:
    """Use cases of jobs. Every method raises `NotFound` for a job that is not the user's."""

    def __init__(self, database: Database, events: JobEvents) -> None:
        self._database = database
        self._events = events

    async def get(self, user_id: str, job_id: str) -> QueuedJob:
        """Load a job."""
        async with self._database.transaction() as session:
            job = await jobs.get(session, job_id, user_id=user_id)
        return _found(job, job_id)

    async def wait(self, user_id: str, job_id: str, timeout_s: float) -> QueuedJob:
        """Wait for the end of a job. -> the job when it has ended, or as it is after `timeout_s`."""
        await self.get(user_id, job_id)
        return await wait_until_finished(self._database, self._events, job_id, timeout_s)

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


def _found(job: QueuedJob | None, job_id: str) -> QueuedJob:
    if job is None:
        raise NotFound(f"There is no job '{job_id}'.")
    return job
