"""Bound of the pixels that requests hold at once: each is decoded at its full size, in the process of the ingress."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deployments.errors import Unavailable

_RETRY_AFTER_S = 5


class PixelBudget:
    """Room for so many pixels; who finds none waits for it, in the order of arrival. A picture that is larger than all
    of it is let in alone."""

    def __init__(self, most: int, wait_s: float) -> None:
        self._most = most
        self._wait_s = wait_s
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def room(self, pixels: int) -> AsyncIterator[None]:
        """Hold room for a picture during the block. Raises `Unavailable` where there is none in time."""
        if self._waiting or not self._fits(pixels):
            await self._wait(pixels)
        else:
            self._held += pixels
        try:
            yield
        finally:
            self._held -= pixels
            self._let_in()

    def _fits(self, pixels: int) -> bool:
        return self._held == 0 or self._held + pixels <= self._most

    async def _wait(self, pixels: int) -> None:
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (pixels, let_in)
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                await let_in
        except BaseException as error:
            if let_in.done() and not let_in.cancelled():  # let in at the very moment
                self._held -= pixels
            elif place in self._waiting:
                self._waiting.remove(place)
            self._let_in()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    "Too many large pictures are being worked on: try again shortly.",
                    extra={"retry_after_s": _RETRY_AFTER_S},
                ) from None
            raise

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            pixels, let_in = self._waiting.popleft()
            if not let_in.done():  # whoever waits for it was cancelled, and has not run since
                self._held += pixels
                let_in.set_result(None)
