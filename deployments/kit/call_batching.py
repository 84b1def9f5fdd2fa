"""Calls that arrive while others run, made together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from deployments.kit import batch_sizes

Work = TypeVar("Work")
Result = TypeVar("Result")


class CallBatcher(Generic[Work, Result]):
    """Batcher without a waiting time: a call that finds a lane free runs at once, those that come meanwhile run next.

    So a busy device gets batches, and an idle one delays nobody. A device that does one thing at a time has one lane, a
    processor one a core.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Work]], Awaitable[Sequence[Result]]],
        most: int,
        *,
        size: Callable[[Work], int] = lambda work: 1,
        room: int = 0,
        lanes: int = 1,
        verb: str = "",
    ) -> None:
        """`run`: makes some calls together, at most `most`, or more as long as their `size` is at most `room` in all.

        -> a result for each, in their order. `verb`: their name for what counts batches (`kit.batch_sizes`); none: they
        are not counted.
        """
        self._run = run
        self._most = most
        self._size = size
        self._room = room
        self._lanes = lanes
        self._verb = verb
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Work, asyncio.Future[Result]]] = deque()

    async def submit(self, work: Work) -> Result:
        """Make the call; -> its result, or raises what the batch raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._running = {lane for lane in self._running if not lane.done()}
        if len(self._running) < self._lanes:
            self._running.add(asyncio.create_task(self._run_all(), name="calls"))
        return await future

    async def _run_all(self) -> None:
        try:
            while self._waiting:
                batch = [(work, future) for work, future in self._take() if not future.cancelled()]
                if batch:
                    if self._verb:
                        batch_sizes.tell(self._verb, len(batch))
                    await self._run_batch([work for work, _ in batch], [future for _, future in batch])
        finally:
            if all(lane.done() or lane is asyncio.current_task() for lane in self._running):
                while self._waiting:  # a batch was cancelled itself: nobody waits for ever
                    self._waiting.popleft()[1].cancel()

    def _take(self) -> list[tuple[Work, asyncio.Future[Result]]]:
        """Take the calls of the next batch, at least one."""
        taken = [self._waiting.popleft()]
        size = self._size(taken[0][0])
        while self._waiting:
            size += self._size(self._waiting[0][0])
            if len(taken) >= self._most and size > self._room:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _run_batch(self, works: list[Work], futures: list[asyncio.Future[Result]]) -> None:
        try:
            for future, result in zip(futures, await self._run(works), strict=True):
                if not future.done():
                    future.set_result(result)
        except Exception as error:  # theirs: whoever asked is told
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        finally:
            for future in futures:
                future.cancel()  # without effect on one that is done
