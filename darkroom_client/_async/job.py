"""A job of the server, and what comes out of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import httpx2
from pydantic import TypeAdapter

from darkroom_client import models
from darkroom_client._async.events import QUIET_S, reopened
from darkroom_client._async.http import AsyncHttp
from darkroom_client.errors import ApiError, JobStillRunning, error_of

T = TypeVar("T")
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class AsyncJob(Generic[T]):
    """A job. Iterate over `events()`, or `wait()` for what it finds."""

    def __init__(
        self, http: AsyncHttp, result: Any, state: models.Job | None, ready: T | None = None, job_id: str = ""
    ) -> None:
        self._http = http
        self._result: TypeAdapter[T] = TypeAdapter(result)
        self._ready = ready
        self.state = state
        """As it was when it was last heard of; None: the answer was there at once, or nothing was heard yet."""
        self.id = state.id if state else job_id
        """Empty where the answer was there at once, without a job."""

    async def events(self, timeout_s: float | None = None) -> AsyncIterator[models.Job]:
        """Stream the states of the job until it has ended; a stream that breaks off is opened again.

        Raises `JobStillRunning` after `timeout_s` seconds, and what the client raises.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if not self.id:
            return
        path = f"/jobs/{self.id}/events"
        async with aclosing(reopened(self._http, path, lambda: self._patience_s(deadline))) as events:
            async for event in events:
                self.state = models.Job.model_validate_json(event.data)
                yield self.state
                if self.state.status in ENDED:
                    return

    def _patience_s(self, deadline: float | None) -> float:
        """Seconds to wait for the next event. Raises `JobStillRunning` after the deadline."""
        if deadline is None:
            return QUIET_S
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise JobStillRunning(f"The job {self.id} still runs; it goes on in the server.")
        return min(left_s, QUIET_S)

    async def wait(
        self, timeout_s: float | None = None, on_progress: Callable[[models.Job], object] | None = None
    ) -> T:
        """Wait until the job has ended. -> what it found

        `on_progress` gets each state. Raises `ApiError` of the job's problem, `JobCancelled`, `JobStillRunning`.
        """
        if self._ready is None:
            async for state in self.events(timeout_s):
                if on_progress is not None:
                    on_progress(state)
        return self.result()

    def result(self) -> T:
        """What the job found. Raises `ApiError` of its problem, `JobCancelled`, `JobStillRunning`."""
        if self._ready is not None:
            return self._ready
        if self.state is None or self.state.status not in ENDED:
            raise JobStillRunning(f"The job {self.id} has not ended yet.")
        if self.state.status == "succeeded":
            return self._result.validate_python(self.state.result)
        cancelled = {"type": "/problems/job-cancelled", "title": "Job cancelled", "status": 409}
        raise error_of(self.state.problem or cancelled | {"detail": "The job was cancelled before it ended."})

    async def refresh(self) -> models.Job:
        """Ask for the state of the job. Raises `NotFound`, and for an answer without a job `ApiError`."""
        return await self._asked("GET")

    async def cancel(self) -> models.Job:
        """Ask the job to stop. -> its state"""
        return await self._asked("DELETE")

    async def _asked(self, method: str) -> models.Job:
        if not self.id:
            raise ApiError({"status": 404, "title": "No job", "detail": "The answer was there at once, without a job."})
        self.state = await self._http.read(models.Job, method, f"/jobs/{self.id}")
        return self.state


def job_of(http: AsyncHttp, result: Any, response: httpx2.Response) -> AsyncJob[Any]:
    """Make the job of an answer: 202 describes it, any other is what it would have found."""
    if response.status_code == 202:
        return AsyncJob(http, result, models.Job.model_validate_json(response.content))
    return AsyncJob(http, result, None, TypeAdapter(result).validate_json(response.content))


RESPOND_ASYNC = {"Prefer": "respond-async"}
