"""Bounded threads for blocking work beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Bound on the number of threads that one owner's work takes."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run `work` in a thread; -> what it returns, or raises.

        A call that is cancelled ends when its work does, if that has begun: otherwise what clients no longer want would
        pile up beside what they do, each with its images in memory.
        """
        async with self._slots:
            return await to_its_end(asyncio.to_thread(work, *arguments))


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end, also when the caller is cancelled: a thread cannot be stopped half way."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait({task})
