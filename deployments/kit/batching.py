"""Dynamic batching for streaming requests: requests of equal keys run as one batch, each with its own events and end.

Each request receives its own step events and can be cancelled alone. `@serve.batch` cannot do it: it batches whatever
arrives together, while a denoising loop needs equal shapes; and a batch of its generators ends as one, while here
requests come to different ends (docs/adr/0006).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from deployments.errors import Unavailable
from deployments.kit.threads import yield_cores

Work = TypeVar("Work")
Step = TypeVar("Step")
Reported = TypeVar("Reported", contravariant=True)
BatchResult = TypeVar("BatchResult")


class BatchListener(Protocol[Reported]):
    """Callbacks of a running batch, called from the thread of the run. `place` is the request's index in the batch."""

    def report(self, place: int, step: Reported) -> None:
        """Deliver a step event to the request at `place`."""
        ...

    def is_cancelled(self, place: int) -> bool:
        """Say whether the request at `place` was cancelled."""
        ...


Run = Callable[[Sequence[Work], BatchListener[Step]], Sequence[BatchResult | Exception]]
"""Function that runs one batch: an outcome per request, in their order; those of cancelled requests are discarded."""


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
        max_batch: int,
        wait_s: float,
    ) -> None:
        """Start without a thread; `wait_s`: how long a request that finds the runner idle waits for others of its
        key."""
        self._run = run
        self._key = key
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._waiting: deque[_Ticket[Work]] = deque()
        self._running: list[_Ticket[Work]] = []
        self._arrival = asyncio.Event()
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
        ticket = _Ticket(request, self._key(request), loop.time())
        self._waiting.append(ticket)
        self._arrival.set()
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
            with contextlib.suppress(ValueError):
                self._waiting.remove(ticket)

    async def close(self) -> None:
        """End every request within a step, and the thread."""
        self._closed = True
        for ticket in (*self._waiting, *self._running):
            ticket.cancelled.set()
            ticket.events.put_nowait(_Outcome(Unavailable("This replica is shutting down.")))
        self._waiting.clear()
        if self._worker:
            await self._worker
        await asyncio.to_thread(self._thread.shutdown)

    async def _work(self) -> None:
        while self._waiting:
            await self._gather()
            if batch := self._take():
                await self._run_batch(batch)

    async def _gather(self) -> None:
        """Wait until the oldest request's batch is full, or it has waited long enough."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            first = self._waiting[0]
            left = first.arrived + self._wait_s - loop.time()
            if left <= 0 or sum(ticket.key == first.key for ticket in self._waiting) >= self._max_batch:
                return
            self._arrival.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):  # `wait_for` forgets a cancellation that comes with the event
                    await self._arrival.wait()

    def _take(self) -> list[_Ticket[Work]]:
        if not self._waiting:
            return []
        key = self._waiting[0].key
        batch = [ticket for ticket in self._waiting if ticket.key == key][: self._max_batch]
        for ticket in batch:
            self._waiting.remove(ticket)
        return batch

    async def _run_batch(self, batch: list[_Ticket[Work]]) -> None:
        loop = asyncio.get_running_loop()
        watch = _Tickets[Work, Step](batch, loop)
        self._running = batch
        try:
            requests = [ticket.request for ticket in batch]
            outcomes = await loop.run_in_executor(self._thread, self._run, requests, watch)
        except Exception as error:  # whatever it is, it is each request's own answer
            outcomes = [error] * len(batch)
        finally:
            self._running = []
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.events.put_nowait(_Outcome(outcome))


class _Tickets(Generic[Work, Step]):
    def __init__(self, batch: Sequence[_Ticket[Work]], loop: asyncio.AbstractEventLoop) -> None:
        self._batch = batch
        self._loop = loop

    def report(self, place: int, step: Step) -> None:
        ticket = self._batch[place]
        if not ticket.cancelled.is_set():
            self._loop.call_soon_threadsafe(ticket.events.put_nowait, step)

    def is_cancelled(self, place: int) -> bool:
        return self._batch[place].cancelled.is_set()
