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
Joining = TypeVar("Joining", covariant=True)
Reported = TypeVar("Reported", contravariant=True)
BatchResult = TypeVar("BatchResult")


class BatchListener(Protocol[Joining, Reported]):
    """Callbacks of a running batch, called from the thread of the run. `place` is the request's index in the batch."""

    def join(self) -> Sequence[Joining]:
        """Take requests of the batch's key that have come meanwhile into the batch, as its last ones, as far as there
        is room."""
        ...

    def report(self, place: int, step: Reported) -> None:
        """Deliver a step event to the request at `place`."""
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
    ) -> None:
        """Start without a thread; `max_batch`: requests of one batch, for requests like one.

        `wait_s`: how long a request that finds the runner idle waits for others of its key, 0: it starts at once, and
        others may join it while the run makes ready.
        """
        self._run = run
        self._key = key
        self._most = max_batch if callable(max_batch) else lambda _: max_batch
        self._wait_s = wait_s
        self._waiting: deque[_Ticket[Work]] = deque()
        self._lock = threading.Lock()
        """Lock of `_waiting`, which running batches take requests from."""
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
        with self._lock:
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
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(ticket)

    async def close(self) -> None:
        """End every request within a step, and the thread."""
        self._closed = True
        with self._lock:
            closed = [*self._waiting, *self._running]
            self._waiting.clear()
        for ticket in closed:
            ticket.cancelled.set()
            ticket.events.put_nowait(_Outcome(Unavailable("This replica is shutting down.")))
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
        while self._wait_s and self._waiting:
            first = self._waiting[0]
            left = first.arrived + self._wait_s - loop.time()
            if left <= 0 or sum(ticket.key == first.key for ticket in self._waiting) >= self._most(first.request):
                return
            self._arrival.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):  # `wait_for` forgets a cancellation that comes with the event
                    await self._arrival.wait()

    def _take(self) -> list[_Ticket[Work]]:
        if not self._waiting:
            return []
        first = self._waiting[0]
        return self._take_of(first.key, self._most(first.request))

    def _take_of(self, key: Hashable, most: int) -> list[_Ticket[Work]]:
        with self._lock:
            taken = [ticket for ticket in self._waiting if ticket.key == key][:most]
            for ticket in taken:
                self._waiting.remove(ticket)
        return taken

    async def _run_batch(self, batch: list[_Ticket[Work]]) -> None:
        loop = asyncio.get_running_loop()
        key, most = batch[0].key, self._most(batch[0].request)
        watch = _Tickets[Work, Step](batch, loop, lambda: self._take_of(key, most - len(batch)))
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
    def __init__(
        self, batch: list[_Ticket[Work]], loop: asyncio.AbstractEventLoop, take: Callable[[], list[_Ticket[Work]]]
    ) -> None:
        self._batch = batch
        self._loop = loop
        self._take = take

    def join(self) -> list[Work]:
        joining = self._take()
        self._batch += joining
        return [ticket.request for ticket in joining]

    def report(self, place: int, step: Step) -> None:
        ticket = self._batch[place]
        if not ticket.cancelled.is_set():
            self._loop.call_soon_threadsafe(ticket.events.put_nowait, step)

    def is_cancelled(self, place: int) -> bool:
        return self._batch[place].cancelled.is_set()
