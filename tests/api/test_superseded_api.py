"""Follow-up jobs of an album that was analysed since they were ordered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.store.repositories import vectors
from tests.api.conftest import upload
from tests.support.builders import an_image, encoded
from tests.support.fakes import FakeCapabilities

LATER = "UPDATE jobs SET run_after = now() + interval '1 hour' WHERE id = :id"
NOW = "UPDATE jobs SET run_after = now() WHERE id = :id"


@pytest_asyncio.fixture()
async def refs(idle_client: httpx.AsyncClient) -> list[str]:
    return await upload(idle_client, *(encoded(an_image(seed=seed), "PNG") for seed in range(3)))


async def post(client: httpx.AsyncClient, refs: list[str]) -> str:
    body = {"images": refs, "album_id": "a"}
    answer = await client.post("/api/v1/albums/embeddings", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@asynccontextmanager
async def working(services: Services) -> AsyncIterator[None]:
    """Run jobs meanwhile, one at a time."""
    runner = JobRunner(services, services.settings.jobs.model_copy(update={"concurrency": 1}))
    task = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(40):
            yield
    finally:
        await runner.stop()
        await asyncio.wait_for(task, 20)


async def followed(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    """Wait for a post's job and those that follow it. -> the results of these by kind"""
    embedded = await ended(client, job)
    return {one["kind"]: (await ended(client, one["id"]))["result"] for one in embedded["result"]["jobs"]}


async def ended(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    while True:
        found = (await client.get(f"/api/v1/jobs/{job}")).json()
        if found["status"] in ("succeeded", "failed"):
            assert found["status"] == "succeeded", found
            return dict(found)
        await asyncio.sleep(0.05)


async def set_time(services: Services, statement: str, job: str) -> None:
    async with services.database.transaction() as session:
        await session.execute(text(statement), {"id": job})


async def test_an_album_is_analysed_once_for_the_posts_that_came_before_its_analyses(
    services: Services, idle_client: httpx.AsyncClient, capabilities: FakeCapabilities, refs: list[str]
) -> None:
    first, held = [await post(idle_client, [ref]) for ref in refs[:2]]
    await set_time(services, LATER, held)  # what follows the first post waits for it
    async with working(services):
        await ended(idle_client, first)
    third = await post(idle_client, refs[2:])
    await set_time(services, NOW, held)
    async with working(services):
        found = [await followed(idle_client, job) for job in (first, held, third)]
    assert found[0] == found[1] == found[2]
    assert {ref for tagged in found[0]["tags"]["tags"].values() for ref in tagged} == set(refs)
    assert capabilities.calls.count("tag_images") == 1


async def test_what_follows_a_later_post_is_analysed_again_though_the_album_is_the_same(
    services: Services, idle_client: httpx.AsyncClient, capabilities: FakeCapabilities, refs: list[str]
) -> None:
    async with working(services):
        made = await followed(idle_client, await post(idle_client, refs))
        assert await followed(idle_client, await post(idle_client, refs)) == made
    assert capabilities.calls.count("tag_images") == 2


async def test_tags_of_pictures_that_are_deleted_under_way_are_no_error(
    services: Services, idle_client: httpx.AsyncClient, refs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = vectors.load

    async def load_after_all_are_gone(
        session: AsyncSession, model: str, shas: list[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        await session.execute(text("DELETE FROM picture_vectors"))
        return await load(session, model, shas)

    monkeypatch.setattr(vectors, "load", load_after_all_are_gone)
    async with working(services):
        embedded = await ended(idle_client, await post(idle_client, refs))
        [tags] = [one["id"] for one in embedded["result"]["jobs"] if one["kind"] == "tags"]
        result = (await ended(idle_client, tags))["result"]
    assert result["tags"] == {}
    async with services.database.transaction() as session:
        failures = await session.scalar(text("SELECT failures FROM jobs WHERE id = :id"), {"id": tags})
    assert failures == 0
