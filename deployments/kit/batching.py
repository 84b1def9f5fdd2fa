"""Dynamic batching for streaming requests: requests of equal keys run as one batch, each with its own events and end.

Each request receives its own step events and can be cancelled alone. `@serve.batch` cannot do it: it batches whatever
arrives together, while a denoising loop needs equal shapes; and a batch of its generators ends as one, while here
requests come to different ends (docs/adr/0006).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from deployments.errors import Unavailable
from deployments.kit import batch_sizes
from deployments.kit.threads import yield_cores

_MOST_FILLED = 4
"""How often a run may be filled: then another begins, and what this one holds of finished requests is freed."""
Work = TypeVar("Work")
Step = TypeVar("Step")
Joining = TypeVar("Joining", covariant=True)
Reported = TypeVar("Reported", contravariant=True)
BatchResult = TypeVar("BatchResult")


class BatchListener(Protocol[Joining, Reported]):
    """Callbacks of a running batch, called from the thread of the run. `place` is the request's index in the batch."""

    def join(self, *, wait: bool = False) -> Sequence[Joining]:
        """Take requests of the batch's key that have come meanwhile into the batch, as its last ones, as far as there
        is room. `wait`: where none has come, wait for one as long as the batcher's `wait_s` says."""
        ...

    def follow(self) -> Sequence[Joining]:
        """Take requests of the batch's key that have come while it runs, as its last ones, where no request of another
        key waits before them and there is room beside those that are not finished."""
        ...

    def report(self, place: int, step: Reported) -> None:
        """Deliver a step event to the request at `place`."""
        ...

    def finish(self, place: int, outcome: object) -> None:
        """End the request at `place` before the run ends; what the run returns for it is then discarded."""
        ...

    def is_cancelled(self, place: int) -> bool:
        """Say whether the request at `place` was cancelled."""
        ...


Run = Callable[[Sequence[Work], BatchListener[Work, Step]], Sequence[BatchResult | Exception]]
"""Function that runs one batch: an outcome per request, those that joined included, in their order; those of cancelled
requests are discarded. An exception that it raises is that of all."""


@dataclass(eq=False)
class _Ticket(Generic[Work]):
    request: Work
    key: Hashable
    arrived: float
    events: asyncio.Queue[object] = field(default_factory=asyncio.Queue)
    """Events of the request, bounded by the number of its steps."""
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Outcome:
    value: object


class KeyedBatcher(Generic[Work, Step, BatchResult]):
    """Batcher that runs one batch at a time in a thread of its own, the key of the longest waiting request first."""

    def __init__(
        self,
        run: Run[Work, Step, BatchResult],
        key: Callable[[Work], Hashable],
        max_batch: int | Callable[[Work], int],
        wait_s: float,
        verb: str = "",
    ) -> None:
        """Start without a thread; `max_batch`: requests of one batch, for requests like one.

        `wait_s`: seconds after the arrival of a batch's first request until which a run that is ready waits for others
        of its key. It makes ready in this time, and does not wait where the batch is full. `verb`: their name for what
        counts batches (`kit.batch_sizes`); none: they are not counted.
        """
        self._run = run
        self._key = key
        self._most = max_batch if callable(max_batch) else lambda _: max_batch
        self._wait_s = wait_s
        self._verb = verb
        self._waiting: deque[_Ticket[Work]] = deque()
        self._lock = threading.Condition()
        """Lock of `_waiting` and `_running`; notified of arrivals. A running batch takes requests from the one into the
        other, so that each is always in one of them."""
        self._running: list[_Ticket[Work]] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "batch", yield_cores)

    async def submit(self, request: Work) -> AsyncGenerator[Step | BatchResult, None]:
        """Yield steps, then the result. Closing the iterator takes the request out of its batch within a step.

        Raises what the run returns or raises for the request.
        """
        if self._closed:
            raise Unavailable("This replica is shutting down.")
        loop = asyncio.get_running_loop()
        ticket = _Ticket(request, self._key(request), time.monotonic())
        with self._lock:
            self._waiting.append(ticket)
            self._lock.notify_all()
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work(), name="batches")
        try:
            while True:
                event = await ticket.events.get()
                if not isinstance(event, _Outcome):
                    yield event  # type: ignore[misc]
                elif isinstance(event.value, BaseException):
                    raise event.value
                else:
                    yield event.value  # type: ignore[misc]
                    return
        finally:
            ticket.cancelled.set()
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(ticket)

    async def close(self) -> None:
        """End every request within a step, and the thread."""
        self._closed = True
        with self._lock:
            closed = [*self._waiting, *self._running]
            self._waiting.clear()
            self._lock.notify_all()
        for ticket in closed:
            ticket.cancelled.set()
            ticket.events.put_nowait(_Outcome(Unavailable("This replica is shutting down.")))
        if self._worker:
            await self._worker
        await asyncio.to_thread(self._thread.shutdown)

    async def _work(self) -> None:
        while batch := self._begin():
            await self._run_batch(batch)

    def _begin(self) -> list[_Ticket[Work]]:
        """Begin a batch with the requests of the oldest one's key; empty where none waits."""
        with self._lock:
            self._running = []
            if self._waiting:
                first = self._waiting[0]
                self._move(first.key, self._most(first.request))
            return self._running

    def _join(self, batch: list[_Ticket[Work]], *, wait: bool) -> list[_Ticket[Work]]:
        """Move requests of the batch's key into it. -> these"""
        first = batch[0]
        left = first.arrived + self._wait_s - time.monotonic() if wait else 0.0
        with self._lock:
            room = self._most(first.request) - len(batch)
            if room > 0 and left > 0:
                self._lock.wait_for(
                    lambda: self._closed or any(ticket.key == first.key for ticket in self._waiting), left
                )
            return self._move(first.key, room)

    def _follow(self, batch: list[_Ticket[Work]], finished: Collection[int]) -> list[_Ticket[Work]]:
        """Move requests of the batch's key into it, up to the first of another key. -> these"""
        first = batch[0]
        most = self._most(first.request)
        left = sum(place not in finished and not one.cancelled.is_set() for place, one in enumerate(batch))
        with self._lock:
            ahead = sum(1 for _ in itertools.takewhile(lambda ticket: ticket.key == first.key, self._waiting))
            room = min(most - left, _MOST_FILLED * most - len(batch))
            return self._move(first.key, min(ahead, room))

    def _move(self, key: Hashable, most: int) -> list[_Ticket[Work]]:
        """Move at most so many waiting requests of a key to the running ones. -> these"""
        taken = [ticket for ticket in self._waiting if ticket.key == key][: max(most, 0)]
        for ticket in taken:
            self._waiting.remove(ticket)
        self._running += taken
        return taken

    async def _run_batch(self, batch: list[_Ticket[Work]]) -> None:
        loop = asyncio.get_running_loop()
        watch = _Tickets[Work, Step](
            batch, loop, lambda wait: self._join(batch, wait=wait), lambda finished: self._follow(batch, finished)
        )
        try:
            requests = [ticket.request for ticket in batch]
            outcomes = await loop.run_in_executor(self._thread, self._run, requests, watch)
        except Exception as error:  # whatever it is, it is each request's own answer
            outcomes = [error] * len(batch)
        if self._verb:
            batch_sizes.tell(self._verb, len(batch))  # with those that joined it
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.events.put_nowait(_Outcome(outcome))


class _Tickets(Generic[Work, Step]):
    def __init__(
        self,
        batch: list[_Ticket[Work]],
        loop: asyncio.AbstractEventLoop,
        take: Callable[[bool], list[_Ticket[Work]]],
        take_late: Callable[[Collection[int]], list[_Ticket[Work]]],
    ) -> None:
        self._batch = batch
        self._loop = loop
        self._take = take
        self._take_late = take_late
        self._finished: set[int] = set()

    def join(self, *, wait: bool = False) -> list[Work]:
        return [ticket.request for ticket in self._take(wait)]

    def follow(self) -> list[Work]:
        return [ticket.request for ticket in self._take_late(self._finished)]

    def report(self, place: int, step: Step) -> None:
        ticket = self._batch[place]
        if not ticket.cancelled.is_set():
            self._loop.call_soon_threadsafe(ticket.events.put_nowait, step)

    def finish(self, place: int, outcome: object) -> None:
        self._finished.add(place)
        self._loop.call_soon_threadsafe(self._batch[place].events.put_nowait, _Outcome(outcome))

    def is_cancelled(self, place: int) -> bool:
        return self._batch[place].cancelled.is_set()
