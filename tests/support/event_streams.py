"""Reading of streams of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.accounts import bearer

PATIENCE_S = 20


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of a stream."""

    name: str
    id: str
    data: dict[str, Any]


class Ears:
    """Reader of an open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> Heard | None:
        """Read the next event, a comment included; None: the stream has ended."""
        said: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                name, _, value = line.partition(":")
                if line:
                    said[name or "comment"] = value.strip()
                elif said:
                    return Heard(said.get("event", ""), said.get("id", ""), json.loads(said.get("data", "{}")))
        return None

    async def until(self, wanted: Callable[[Heard], object]) -> list[Heard]:
        """Read until an event is wanted. -> all that were read"""
        heard: list[Heard] = []
        while not heard or not wanted(heard[-1]):
            one = await self.next()
            assert one is not None, f"the stream ended after {heard}"
            heard.append(one)
        return heard


@asynccontextmanager
async def listening(
    url: str,
    path: str = "/api/v1/events",
    *,
    last_id: str | None = None,
    key: str | None = None,
    cookie: str | None = None,
) -> AsyncIterator[Ears]:
    """Open a stream of a server."""
    headers = ({"Last-Event-ID": last_id} if last_id else {}) | (bearer(key) if key else {})
    headers |= {"Cookie": cookie} if cookie else {}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as client,
        client.stream("GET", path) as response,
    ):
        yield Ears(response)
