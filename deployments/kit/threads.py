"""Bounded threads for blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from deployments.kit.turns import Turns

S = TypeVar("S")
T = TypeVar("T")
_NICENESS = 10
"""A ninth of the weight of an ordinary thread, of 19 levels below it."""
CHECK_FRESH_S = 8.0
"""Seconds for which a check that passed is not repeated: Serve makes one every ten."""


class Threads:
    """Bound on the number of threads that one owner's work takes, and fair turns of the users at them (`Turns`)."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._turns = Turns(at_once)
        # Of its own: the event loop's few threads are everybody's, and calls would stand in line for those once more.
        self._pool = ThreadPoolExecutor(at_once + Turns.BEYOND, "work", yield_cores)
        self._pool_beyond = ThreadPoolExecutor(at_once + Turns.BEYOND, "work-beyond")
        self._lane = ThreadPoolExecutor(1, "check")
        self._checking = asyncio.Lock()
        self._passed_at = -math.inf

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run `work` in a thread; -> what it returns, or raises.

        A call that is cancelled ends when its work does, if that has begun: otherwise what clients no longer want would
        pile up beside what they do, each with its images in memory.
        """
        async with self._turns.taken() as is_beyond:
            pool = self._pool_beyond if is_beyond else self._pool
            call = partial(copy_context().run, work, *arguments)
            return await to_its_end(asyncio.get_running_loop().run_in_executor(pool, call))

    async def run_cancellable(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """Run work that asks, again and again, the function that it is given whether it was cancelled, and ends soon if
        so; -> what it returns, or raises."""
        stop = threading.Event()
        call = asyncio.ensure_future(self.run(work, stop.is_set))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            stop.set()
            call.cancel()  # it may still stand in line
            await asyncio.wait({call})
            raise

    async def run_each(self, work: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """Run `work` on each item, side by side; -> its results in order, or raises.

        No more items stand in line than there are threads: another call gets its turn between them, however many there
        are, and does not wait behind all.
        """
        gate = asyncio.Semaphore(self._at_once)

        async def run_one(item: S) -> T:
            async with gate:
                return await self.run(work, item)

        return list(await asyncio.gather(*map(run_one, items)))

    async def check(self, work: Callable[..., object], *arguments: Any) -> None:
        """Run `work`, in a thread beside the others, to see that it can be done; raises what it raises.

        It waits for no call, so that a busy owner does not seem broken, and however many ask, it is done no more often
        than every `CHECK_FRESH_S`.
        """
        async with self._checking:
            if time.monotonic() - self._passed_at < CHECK_FRESH_S:
                return
            loop = asyncio.get_running_loop()
            await to_its_end(loop.run_in_executor(self._lane, partial(work, *arguments)))
            self._passed_at = time.monotonic()


def yield_cores() -> None:
    """Let this thread yield the cores to what answers clients: event loops, the proxies, the database.

    Where cores are idle it is as fast as before. On Linux alone, whose threads have priorities of their own.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


async def to_its_end(work: Awaitable[T]) -> T:
    """Await `work` to its end, also when the caller is cancelled: a thread cannot be stopped half way."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait({task})
