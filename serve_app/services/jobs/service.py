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
    """Every method raises `NotFound` for a job that is not the user's."""

    def __init__(self, database: Database, events: JobEvents) -> None:
        self._database = database
        self._events = events

    async def get(self, user_id: str, job_id: str) -> QueuedJob:
        async with self._database.transaction() as session:
            job = await jobs.get(session, job_id, user_id=user_id)
        return _found(job, job_id)

    async def wait(self, user_id: str, job_id: str, timeout_s: float) -> QueuedJob:
        """The job when it has ended, or as it is after so many seconds."""
        await self.get(user_id, job_id)
        return await wait_until_finished(self._database, self._events, job_id, timeout_s)

    async def watch(self, user_id: str, job_id: str, quiet_s: float) -> AsyncIterator[QueuedJob | None]:
        """The job now and on each change, until it has ended; None whenever nothing has changed for `quiet_s`."""
        await self.get(user_id, job_id)
        async for job in follow(self._database, self._events, job_id, quiet_s=quiet_s):
            yield job

    async def cancel(self, user_id: str, job_id: str) -> QueuedJob:
        """One that waits is cancelled at once, one that runs is asked to stop."""
        async with self._database.transaction() as session:
            job = await jobs.cancel(session, user_id, job_id)
        return _found(job, job_id)


def _found(job: QueuedJob | None, job_id: str) -> QueuedJob:
    if job is None:
        raise NotFound(f"There is no job '{job_id}'.")
    return job
