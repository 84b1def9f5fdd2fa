"""A mix of calls at a fixed rate from a process of its own: `python -m bench.faults.mix`.

Its first line of input is JSON: the server's URL, a key for each user, the seed, a folder for journals. Each further
line is a step, `{"rate": calls a second, "seconds": ..., "journal": name}`, answered by `done` on standard output. They
begin when they are due, however many are unanswered, and their time counts from then: who waits in line here waits.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from bench.faults.client import Client
from bench.faults.journal import Answer, Journal
from bench.faults.pictures import Pictures

ALBUM = "load"
_PICTURES = 8
"""Pictures of each user's album, which is read."""
_SIDE = 1600
"""Longest side of its pictures in pixels: 2 megapixels."""
_TIMEOUT_S = 90.0
_MIX = {"history": 35, "file": 30, "album": 15, "upload": 15, "tags": 5}
"""Shares of the calls in percent; `tags` uploads nothing and asks for the tags of a new picture by itself."""


class Mix:
    """Calls drawn by a seed, of several users in turn."""

    def __init__(self, url: str, keys: list[str], seed: int) -> None:
        self._pictures = Pictures(seed, _SIDE)
        self._rng = random.Random(seed)
        self._numbers = iter(range(_PICTURES, 10**9))
        self._users = [
            httpx.AsyncClient(
                base_url=f"{url}/api/v1",
                headers={"Authorization": f"Bearer {key}"},
                timeout=_TIMEOUT_S,
                limits=httpx.Limits(max_connections=None),
                trust_env=False,
            )
            for key in keys
        ]
        self._urls = [self._fill(Client(url, key, user)) for user, key in enumerate(keys)]
        self._new: list[list[str]] = [[] for _ in keys]
        """Uploaded pictures of each user that were not analysed yet."""

    def _fill(self, client: Client) -> list[str]:
        urls = client.upload(*(self._pictures(client.user, number) for number in range(_PICTURES)))
        client.call("post", "POST", "/albums/embeddings", json={"album_id": ALBUM, "images": urls})
        client.close()
        return [httpx.URL(url).path.removeprefix("/api/v1") for url in urls]

    async def run(self, rate: float, seconds: float, journal: Journal) -> None:
        """Make so many calls a second for so long, and wait for all answers."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as calls:
            for place in range(round(rate * seconds)):
                due = began + place / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                step = self._rng.choices([*_MIX], [*_MIX.values()])[0]
                calls.create_task(self._call(step, place % len(self._users), due, journal))

    async def _call(self, step: str, user: int, due: float, journal: Journal) -> None:
        says_when = False
        try:
            answer = await self._steps[step](self, self._users[user], user)
            status = _status(answer)
            says_when = "retry-after" in answer.headers
        except httpx.TimeoutException:
            status = "silent"
        except httpx.TransportError:
            status = "broken"
        ended = time.monotonic()
        journal.add(Answer(ended, user, step, status, ended - due, says_when))

    async def _history(self, client: httpx.AsyncClient, _user: int) -> httpx.Response:
        return await client.get("/history")

    async def _album(self, client: httpx.AsyncClient, _user: int) -> httpx.Response:
        return await client.get(f"/albums/{ALBUM}")

    async def _file(self, client: httpx.AsyncClient, user: int) -> httpx.Response:
        return await client.get(self._rng.choice(self._urls[user]))

    async def _upload(self, client: httpx.AsyncClient, user: int) -> httpx.Response:
        picture = self._pictures(user, next(self._numbers))
        answer = await client.post("/images", files=[("file", ("load.jpg", picture))])
        if answer.status_code == 201:
            self._new[user].append(answer.json()["images"][0]["url"])
        return answer

    async def _tags(self, client: httpx.AsyncClient, user: int) -> httpx.Response:
        if not self._new[user]:
            return await self._upload(client, user)
        return await client.post("/albums/tags", json={"images": [self._new[user].pop()]})

    _steps: dict[str, Callable[[Mix, httpx.AsyncClient, int], Awaitable[httpx.Response]]] = {  # noqa: RUF012
        "history": _history,
        "album": _album,
        "file": _file,
        "upload": _upload,
        "tags": _tags,
    }


def _status(answer: httpx.Response) -> str:
    """Name a status, that of a failure of the server with the kind of its problem."""
    if answer.status_code < 500:
        return str(answer.status_code)
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    kind = answer.json()["type"].rpartition("/")[2] if is_problem else "no problem document"
    return f"{answer.status_code} {kind}"


async def _serve(order: dict[str, Any]) -> None:
    mix = Mix(order["url"], order["keys"], order["seed"])
    while line := await asyncio.to_thread(sys.stdin.readline):
        step = json.loads(line)
        with Journal(Path(order["folder"]) / step["journal"]) as journal:
            await mix.run(step["rate"], step["seconds"], journal)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.stdin.readline())))
