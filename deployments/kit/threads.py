"""Blocking work beside the event loop, so many calls at once and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """A bound on the threads that one owner's work takes."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns, or raises.

        A call that is cancelled ends when its work does, if that has begun: otherwise what clients no longer want would
        pile up beside what they do, each with its pictures in memory.
        """
        async with self._slots:
            return await to_its_end(asyncio.to_thread(work, *arguments))


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Also when the caller is cancelled: a thread cannot be stopped half way."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait({task})
