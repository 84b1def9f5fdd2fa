"""Turns at a scarce thing, shared fairly among the users on whose behalf it is asked for.

Who asks is not an argument of every function on the way: it is set where a request or a job begins (`acting_for`), and
travels with the tasks and threads that are started there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

_USER: ContextVar[str | None] = ContextVar("user", default=None)


def acting_user() -> str | None:
    """The user on whose behalf the running task works; None: nobody in particular."""
    return _USER.get()


@contextmanager
def acting_for(user: str | None) -> Iterator[None]:
    """Let what the block starts take its turns as this user."""
    token = _USER.set(user)
    try:
        yield
    finally:
        _USER.reset(token)


class Turns:
    """Bound on what runs at once: `async with turns.taken(): ...`.

    Who has the least running comes next, and among those who have as much, who has waited longest. One turn more
    (`BEYOND`) is for whoever has none running while others have them all: a short call does not wait for the end of a
    long one.
    """

    BEYOND = 1

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._running: Counter[str | None] = Counter()
        self._waiting: list[tuple[str | None, asyncio.Future[bool]]] = []

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[bool]:
        """Wait for a turn, and have it until the block ends. -> whether it is the one beyond the bound"""
        user = acting_user()
        is_beyond = await self._take(user)
        try:
            yield is_beyond
        finally:
            self._leave(user)

    async def _take(self, user: str | None) -> bool:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((user, turn))
        self._start_next()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came too late
                self._leave(user)
            else:
                self._waiting = [waiting for waiting in self._waiting if waiting[1] is not turn]
            raise

    def _leave(self, user: str | None) -> None:
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]  # users come and go
        self._start_next()

    def _start_next(self) -> None:
        while self._waiting:
            place = min(range(len(self._waiting)), key=lambda place: self._running[self._waiting[place][0]])
            user, turn = self._waiting[place]
            if not self._has_room(user):
                return
            del self._waiting[place]
            if not turn.cancelled():
                turn.set_result(self._running.total() >= self._at_once)
                self._running[user] += 1

    def _has_room(self, user: str | None) -> bool:
        running = self._running.total()
        return running < self._at_once + (0 if self._running[user] else self.BEYOND)
