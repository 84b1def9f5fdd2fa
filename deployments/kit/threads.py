"""Bounded threads for blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

import cv2

from deployments.errors import DarkroomError
from deployments.kit.checks import CheckLane
from deployments.kit.turns import Turns

S = TypeVar("S")
T = TypeVar("T")
_NICENESS = 10
"""A ninth of the weight of an ordinary thread, of 19 levels below it."""


class Threads:
    """Bound on the number of threads that one owner's work takes, and fair turns of the users at them (`Turns`)."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._turns = Turns(at_once)
        # Of its own: the event loop's few threads are everybody's, and calls would stand in line for those once more.
        self._pool = ThreadPoolExecutor(at_once + Turns.BEYOND, "work", yield_cores)
        self._pool_beyond = ThreadPoolExecutor(at_once + Turns.BEYOND, "work-beyond")
        self._lane = CheckLane()
        # Work runs side by side, each on one core: OpenCV's own threads would only get in its way.
        cv2.setNumThreads(1)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run `work` in a thread; -> what it returns, or raises.

        A call that is cancelled ends when its work does, if that has begun: otherwise what clients no longer want would
        pile up beside what they do, each with its images in memory.
        """
        async with self._turns.taken() as is_beyond:
            pool = self._pool_beyond if is_beyond else self._pool
            call = partial(copy_context().run, work, *arguments)
            try:
                result = await to_its_end(asyncio.get_running_loop().run_in_executor(pool, call))
            except DarkroomError:  # what was asked for cannot be had, which says nothing about the engine
                raise
            except Exception:
                self._lane.doubt()
                raise
            self._lane.prove()
            return result

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
        """See that `work` can be done, in a thread beside the others: `CheckLane.check`."""
        await self._lane.check(work, *arguments)


def yield_cores() -> None:
    """Let this thread yield the cores to what answers clients: event loops, the proxies, the database.

    Where cores are idle it is as fast as before. On Linux alone, whose threads have priorities of their own. Counted
    from what the process was started with, so that under `nice` it still yields to the process' own event loop.
    """
    if sys.platform == "linux":
        own = os.getpriority(os.PRIO_PROCESS, os.getpid())
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own + _NICENESS)


async def to_its_end(work: Awaitable[T]) -> T:
    """Await `work` to its end, also when the caller is cancelled: a thread cannot be stopped half way."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait({task})
