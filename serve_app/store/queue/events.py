"""Waiting for jobs on PostgreSQL's notifications instead of polling.

One connection of the process listens to the notifications. They are hints, never the truth: a waiter that is woken
reads the table. A lost notice, a restart of the database or a pooler that passes no notifications on costs at most
`poll_s`, because every wait ends after that time anyway.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType

import asyncpg
from sqlalchemy import make_url

from deployments.errors import NotFound, Unavailable
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import CHANNEL, QueuedJob
from serve_app.store.session import Database


class Signal:
    """Wake-up of one waiter. A notice that comes between two waits ends the next one at once, so none is missed."""

    def __init__(self, poll_s: float) -> None:
        self._event = asyncio.Event()
        self._poll_s = poll_s

    def set(self) -> None:
        """Wake the waiter."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Wait for a notice, at most `poll_s` or the shorter `timeout_s`."""
        limit = self._poll_s if timeout_s is None else min(self._poll_s, timeout_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), limit)
        self._event.clear()


class JobEvents:
    """Listener for job notifications.

    `async with JobEvents(dsn) as events:` listens until the block ends, across restarts of the database.
    """

    def __init__(self, dsn: str, *, poll_s: float = 1.0, connect_timeout_s: float = 10.0) -> None:
        url = make_url(dsn).difference_update_query(["prepared_statement_cache_size", "prepared_statement_name_func"])
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._poll_s = poll_s
        self._connect_timeout_s = connect_timeout_s
        self._work: set[Signal] = set()
        self._watched: dict[str, set[Signal]] = {}
        self._asked: dict[str, set[Signal]] = {}
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JobEvents:
        self._listener = asyncio.create_task(self._listen(), name="job-events")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
            self._listener = None

    @contextmanager
    def work(self) -> Iterator[Signal]:
        """Signal that a job may have become claimable: one was queued, or one that stood in the way ended.

        with events.work() as signal:
            while True:
                if (job := await claim(...)) is None:
                    await signal.wait()
        """
        signal = Signal(self._poll_s)
        self._work.add(signal)
        try:
            yield signal
        finally:
            self._work.discard(signal)

    def watch(self, job_id: str) -> AbstractContextManager[Signal]:
        """Signal that the job may have changed."""
        return self._signal(self._watched, job_id)

    def calls(self, job_id: str) -> AbstractContextManager[Signal]:
        """Signal to the job's worker that a request to it, such as to stop, may have come."""
        return self._signal(self._asked, job_id)

    @contextmanager
    def _signal(self, listeners: dict[str, set[Signal]], job_id: str) -> Iterator[Signal]:
        signal = Signal(self._poll_s)
        listeners.setdefault(job_id, set()).add(signal)
        try:
            yield signal
        finally:
            signals = listeners[job_id]
            signals.discard(signal)
            if not signals:
                del listeners[job_id]

    def _wake_all(self) -> None:
        by_job = (*self._watched.values(), *self._asked.values())
        for signal in (*self._work, *(signal for signals in by_job for signal in signals)):
            signal.set()

    def _notice(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        status, _, job_id = str(payload).partition(" ")
        listeners = self._asked if status == "asked" else self._watched
        for signal in listeners.get(job_id, ()):
            signal.set()
        if status not in ("running", "asked"):
            for signal in self._work:
                signal.set()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(
                    self._dsn, timeout=self._connect_timeout_s, server_settings={"application_name": "job-events"}
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(self._poll_s)
                continue
            closed = asyncio.Event()
            try:
                connection.add_termination_listener(lambda _connection, closed=closed: closed.set())
                await connection.add_listener(CHANNEL, self._notice)
                self._wake_all()  # notifications that came without a listener are lost
                await closed.wait()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(self._poll_s)
            finally:
                connection.terminate()


async def wait_until_finished(database: Database, events: JobEvents, job_id: str, timeout_s: float) -> QueuedJob:
    """Wait for the job to finish; after `timeout_s` seconds return it as it is.

    Rides out a database that is away for less than that. Raises `NotFound` when there is no such job (any more), and
    `Unavailable` when the database stays away.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    with events.watch(job_id) as signal:
        while True:
            try:
                job = await _read(database, job_id)
                if job.is_finished or loop.time() >= deadline:
                    return job
            except Unavailable:
                if loop.time() >= deadline:
                    raise
            await signal.wait(max(0.0, deadline - loop.time()))


async def follow(
    database: Database, events: JobEvents, job_id: str, *, quiet_s: float = math.inf
) -> AsyncIterator[QueuedJob | None]:
    """Yield the job now and after each change, until it has finished; None when nothing has changed for `quiet_s`.

    Raises `NotFound` and `Unavailable`.
    """
    loop = asyncio.get_running_loop()
    seen: QueuedJob | None = None
    with events.watch(job_id) as signal:
        while seen is None or not seen.is_finished:
            job = await _read(database, job_id)
            if job != seen:
                yield job
                seen, spoke = job, loop.time()
            elif loop.time() - spoke >= quiet_s:
                yield None
                spoke = loop.time()
            else:
                await signal.wait(quiet_s)


async def _read(database: Database, job_id: str) -> QueuedJob:
    async with database.transaction() as session:
        job = await jobs.get(session, job_id)
    if job is None:
        raise NotFound("The job does not exist")
    return job
