"""More requests at once than the server can answer: some succeed, others get 429, none breaks it."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from bench.server import Server
from tests.support.album_client import many_pictures, upload

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

CALLS = 300


def test_overload_is_answered_with_429_and_leaves_the_server_well(server: Server, client: httpx.Client) -> None:
    url = next(iter(upload(client, many_pictures(1, salt=5)).values()))
    client.post("/albums/embeddings", json={"images": [url], "album_id": "overload"}).raise_for_status()

    answers, health = asyncio.run(_call_all_at_once(server.url, url))

    assert health.status_code == 200
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}, statuses
    for refused in (answer for answer in answers if answer.status_code == 429):
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["type"] == "/problems/overloaded"
    assert server.is_ready()
    assert client.post("/albums/quality", json={"album_id": "overload"}).status_code == 200


async def _call_all_at_once(base: str, url: str) -> tuple[list[httpx.Response], httpx.Response]:
    """Each call names the picture itself, so that it is an album and a job of its own, not a stored result."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=base, timeout=120, limits=limits, trust_env=False) as client:
        calls = [client.post("/api/v1/albums/quality", json={"images": [url]}) for _ in range(CALLS)]
        *answers, health = await asyncio.gather(*calls, client.get("/healthz"))
    return answers, health
