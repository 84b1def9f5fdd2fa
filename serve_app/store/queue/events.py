"""Waiting for jobs, and for what changes of a user, on PostgreSQL's notifications instead of polling.

One connection of the process listens to the notifications. They are hints, never the truth: a waiter that is woken
reads the table. The listener sends a notice to itself now and then, and while that arrives, waiters look only every
`live_poll_s`; when it does not (a database that restarts, a pooler that passes no notifications on) they look every
`poll_s`.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any

import asyncpg
from sqlalchemy import make_url

from deployments.errors import NotFound, Unavailable
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import CHANNEL, QueuedJob
from serve_app.store.repositories.events import CHANNEL as USERS_CHANNEL
from serve_app.store.session import Database

_UNFINISHED = ("queued", "running")


class Signal:
    """Wake-up of one waiter. A notice that comes between two waits ends the next one at once, so none is missed."""

    def __init__(self, poll_s: float, *, live_poll_s: Callable[[], float | None] = lambda: None, ends: bool = False):
        """`live_poll_s`: longest wait while notices arrive, None while they do not. `ends`: wake only when a job has
        left the queue for good."""
        self._event = asyncio.Event()
        self.poll_s = poll_s
        self.ends = ends
        self._live_poll_s = live_poll_s

    @property
    def is_live(self) -> bool:
        """Whether notices arrive."""
        return self._live_poll_s() is not None

    def set(self) -> None:
        """Wake the waiter."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a notice, at most as long as the poll or the shorter `timeout_s`. -> whether one came"""
        poll_s = max(self.poll_s, self._live_poll_s() or 0.0)
        limit = poll_s if timeout_s is None else min(poll_s, timeout_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):  # `wait_for` forgets a cancellation that comes with the event
                await self._event.wait()
        came = self._event.is_set()
        self._event.clear()
        return came


EVERYTHING = "everything"
"""Notice to listeners that anything may have changed: none came for a while."""


class Listener:
    """Waiter for changes of any user, who is told whose they were."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._noted: set[str] = set()

    @property
    def is_behind(self) -> bool:
        """Whether notices do not arrive, so that there may be changes that none told of."""
        return not self._signal.is_live

    def hear(self, name: str) -> None:
        """Note what a notice names, and wake the waiter."""
        self._noted.add(name)
        self._signal.set()

    def take(self) -> set[str]:
        """Return what was noted since the last call."""
        noted, self._noted = self._noted, set()
        return noted

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a notice; see `Signal.wait`."""
        return await self._signal.wait(timeout_s)


class JobEvents:
    """Listener for job notifications.

    `async with JobEvents(dsn) as events:` listens until the block ends, across restarts of the database.
    """

    def __init__(
        self, dsn: str, *, poll_s: float = 1.0, live_poll_s: float = 30.0, connect_timeout_s: float = 10.0
    ) -> None:
        self._is_pooled = make_url(dsn).query.get("prepared_statement_cache_size") == "0"
        url = make_url(dsn).difference_update_query(["prepared_statement_cache_size", "prepared_statement_name_func"])
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._poll_s = poll_s
        self._live_poll_s = live_poll_s
        self._is_live = False
        self._connect_timeout_s = connect_timeout_s
        self._work: dict[Signal, str | None] = {}
        self._watched: dict[str, set[Signal]] = {}
        self._asked: dict[str, set[Signal]] = {}
        self._users: dict[str, set[Signal]] = {}
        self._everyone: set[Listener] = set()
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
    def work(self, lane: str | None = None) -> Iterator[Signal]:
        """Signal that a job may have become claimable: one was queued, or one that stood in the way ended. With `lane`,
        that one of this lane may have (`jobs.LANES`).

        with events.work() as signal:
            while True:
                if (job := await claim(...)) is None:
                    await signal.wait()
        """
        signal = self._new_signal()
        self._work[signal] = lane
        try:
            yield signal
        finally:
            del self._work[signal]

    def watch(self, job_id: str, *, ends: bool = False) -> AbstractContextManager[Signal]:
        """Signal that the job may have changed; with `ends`, only that it may have ended."""
        return self._signal(self._watched, job_id, ends)

    def calls(self, job_id: str) -> AbstractContextManager[Signal]:
        """Signal to the job's worker that a request to it, such as to stop, may have come."""
        return self._signal(self._asked, job_id)

    def user(self, user_id: str) -> AbstractContextManager[Signal]:
        """Signal that something of the user's changed."""
        return self._signal(self._users, user_id)

    @contextmanager
    def everyone(self) -> Iterator[Listener]:
        """Listen to changes of all users."""
        listener = Listener(self._new_signal())
        self._everyone.add(listener)
        try:
            yield listener
        finally:
            self._everyone.discard(listener)

    @contextmanager
    def _signal(self, listeners: dict[str, set[Signal]], job_id: str, ends: bool = False) -> Iterator[Signal]:
        signal = self._new_signal(ends)
        listeners.setdefault(job_id, set()).add(signal)
        try:
            yield signal
        finally:
            signals = listeners[job_id]
            signals.discard(signal)
            if not signals:
                del listeners[job_id]

    def _new_signal(self, ends: bool = False) -> Signal:
        return Signal(self._poll_s, live_poll_s=lambda: self._live_poll_s if self._is_live else None, ends=ends)

    def _wake_all(self) -> None:
        named = (*self._watched.values(), *self._asked.values(), *self._users.values())
        for signal in (*self._work, *(signal for signals in named for signal in signals)):
            signal.set()
        for listener in self._everyone:
            listener.hear(EVERYTHING)

    def _notice(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        word, _, job_id = str(payload).partition(" ")
        status, says_lane, lane = word.partition("/")
        listeners = self._asked if status == "asked" else self._watched
        for signal in listeners.get(job_id, ()):
            if not (signal.ends and status in _UNFINISHED):
                signal.set()
        if status in ("running", "asked"):
            return
        for signal, own_lane in self._work.items():
            if not says_lane or (lane and own_lane in (None, lane)):
                signal.set()

    def _notice_of_user(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        for signal in self._users.get(str(payload), ()):
            signal.set()
        for listener in self._everyone:
            listener.hear(str(payload))

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
                await connection.add_listener(USERS_CHANNEL, self._notice_of_user)
                self._wake_all()  # notifications that came without a listener are lost
                await self._stay(connection, closed)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(self._poll_s)
            finally:
                connection.terminate()
                self._is_live = False
                self._wake_all()  # to look more often from now on

    async def _stay(self, connection: asyncpg.Connection[Any], closed: asyncio.Event) -> None:
        """Listen until the connection is closed; prove again and again that notices come through it.

        Not through PgBouncer, which may pass on what the same transaction has sent, and nothing else.
        """
        if self._is_pooled:
            await closed.wait()
        heard, own = asyncio.Event(), f"{CHANNEL}_{secrets.token_hex(8)}"
        await connection.add_listener(own, lambda *_: heard.set())
        while not closed.is_set():
            heard.clear()
            await connection.execute(f"NOTIFY {own}", timeout=self._connect_timeout_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._connect_timeout_s):
                    await heard.wait()
            was_live, self._is_live = self._is_live, heard.is_set()
            if was_live and not self._is_live:
                self._wake_all()  # to look more often from now on
            with suppress(TimeoutError):
                async with asyncio.timeout(self._live_poll_s):
                    await closed.wait()


async def wait_until_finished(
    database: Database, events: JobEvents, job_id: str, timeout_s: float, *, user_id: str | None = None
) -> QueuedJob:
    """Wait for the job to finish; after `timeout_s` seconds return it as it is. `user_id`: only if it is that user's.

    Rides out a database that is away for less than that. Raises `NotFound` when there is no such job (any more), and
    `Unavailable` when the database stays away.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    with events.watch(job_id, ends=True) as signal:
        while True:
            pause_s = math.inf
            try:
                job = await _read(database, job_id, user_id)
                if job.is_finished or loop.time() >= deadline:
                    return job
            except Unavailable:
                if loop.time() >= deadline:
                    raise
                pause_s = signal.poll_s
            await signal.wait(min(pause_s, max(0.0, deadline - loop.time())))


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


async def _read(database: Database, job_id: str, user_id: str | None = None) -> QueuedJob:
    async with database.transaction() as session:
        job = await jobs.get(session, job_id, user_id=user_id)
    if job is None:
        raise NotFound(f"There is no job '{job_id}'.")
    return job
