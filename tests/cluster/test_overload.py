"""More at once than the server can do: some calls succeed, others are told when to come back, none breaks it."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from bench.server import Server
from tests.cluster.client import many_pictures, upload

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

CALLS = 300


async def test_overload_is_answered_with_429_and_leaves_the_server_well(server: Server, client: httpx.Client) -> None:
    url = next(iter(upload(client, many_pictures(1, salt=5)).values()))
    client.post("/albums/embeddings", json={"images": [url], "album_id": "overload"}).raise_for_status()

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits, trust_env=False) as many:
        body = {"images": [url]}  # an album of its own each time: a job, not a stored result
        answers = await asyncio.gather(
            *(many.post("/api/v1/albums/quality", json=body) for _ in range(CALLS)),
            many.get("/healthz"),
        )
        assert answers.pop().status_code == 200

    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}, statuses
    for refused in (answer for answer in answers if answer.status_code == 429):
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["type"] == "/problems/overloaded"

    assert server.is_ready()
    assert client.post("/albums/quality", json={"album_id": "overload"}).status_code == 200
