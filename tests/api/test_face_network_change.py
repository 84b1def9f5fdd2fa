"""Albums of one face network on a server that is set to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio
from sqlalchemy import text

from configs.settings import FaceOptions, Settings
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.telemetry import Metrics
from tests.api.conftest import embed, upload
from tests.support.accounts import BASE
from tests.support.builders import an_image, encoded
from tests.support.fakes import FakeCapabilities, with_face


@pytest_asyncio.fixture()
async def moved(settings: Settings, services: Services, capabilities: FakeCapabilities) -> AsyncIterator[Services]:
    """The same server after it was set to another network. Its capabilities group faces as before."""
    assert settings.faces.network == "mobilefacenet"
    changed = settings.model_copy(update={"faces": FaceOptions(network="dlib")})
    services = await Services.open(changed, capabilities, Metrics("moved"), name="moved")
    try:
        yield services
    finally:
        await services.close()


async def an_album(client: httpx.AsyncClient, *people: tuple[int, ...]) -> None:
    """Upload an image for each of `people`, who are in it side by side, into the album `a`."""
    pictures = []
    for seed, together in enumerate(people):
        image = an_image(size=(200, 100), seed=seed)
        for place, person in enumerate(together):
            image = with_face(image, 16 * person + 8, at=(20 + 60 * place, 40))
        pictures.append(encoded(image, "PNG"))
    await embed(client, "a", await upload(client, *pictures))


async def people_of(client: httpx.AsyncClient, **body: Any) -> dict[str, frozenset[str]]:
    """Ask for the people: id -> images."""
    answer = await client.post("/api/v1/albums/clusters", json={"album_id": "a", **body}, params={"detail": True})
    assert answer.status_code == 200
    return {one["id"]: frozenset(face["image"] for face in one["faces"]) for one in answer.json()["people"]}


async def run_jobs(services: Services) -> None:
    """Run the queue until it is empty."""
    async with services.database.transaction() as session:
        waiting = list(await session.scalars(text(f"SELECT id FROM {UNFINISHED}")))
    runner = JobRunner(services, services.settings.jobs)
    task = asyncio.create_task(runner.run())
    try:
        for job_id in waiting:
            assert (await services.jobs.wait(LOCAL_USER_ID, job_id, 20)).status == "succeeded"
    finally:
        await runner.stop()
        await asyncio.wait_for(task, 20)


async def stop_when_idle(worker: JobRunner, services: Services) -> None:
    """Stop the old server's worker once it has nothing left, as an unfinished job keeps its album from moving."""
    async with asyncio.timeout(20):
        while await count(services, UNFINISHED):  # noqa: ASYNC110 (what the database counts)
            await asyncio.sleep(0.02)
    await worker.stop()


async def count(services: Services, query: str) -> int:
    async with services.database.transaction() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {query}")) or 0)


UNFINISHED = "jobs WHERE status IN ('queued', 'running')"
OF_THE_OLD_NETWORK = "faces WHERE model LIKE 'local-mobilefacenet/%'"


async def test_an_album_moves_in_the_background_and_its_people_keep_their_ids(
    client: httpx.AsyncClient, worker: JobRunner, moved: Services, capabilities: FakeCapabilities
) -> None:
    await an_album(client, (3, 9), (3,), (9, 5))
    before = await people_of(client)
    assert len(before) == 3
    await stop_when_idle(worker, moved)
    capabilities.calls.clear()

    await moved.run_housekeeping()
    assert await count(moved, "jobs WHERE kind = 'people' AND status = 'queued' AND is_follow_up") == 1
    await run_jobs(moved)

    assert capabilities.calls.count("embed_images") == 0, "only faces are embedded anew"
    assert await count(moved, "person_faces JOIN faces ON id = face_id WHERE model = 'local/1'") == 5
    app = build_app(moved, moved.settings, Metrics("ingress"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, timeout=60) as asking:
        answer = await asking.get("/api/v1/albums/a")
        assert len(answer.json()["results"]["people_clusters"]) == 3
    async with moved.database.transaction() as session:
        assert set(await session.scalars(text("SELECT id FROM persons"))) == set(before)


async def test_images_of_an_album_that_moves_are_assessed_anew(
    client: httpx.AsyncClient, worker: JobRunner, moved: Services
) -> None:
    await an_album(client, (3,))
    await people_of(client)
    await stop_when_idle(worker, moved)
    async with moved.database.transaction() as session:
        measured = await session.scalar(text("SELECT score FROM picture_quality"))
        await session.execute(text("UPDATE picture_quality SET score = score / 2"))
    await moved.run_housekeeping()
    await run_jobs(moved)
    async with moved.database.transaction() as session:
        assert await session.scalar(text("SELECT score FROM picture_quality")) == measured


async def test_faces_of_the_old_network_stay_until_no_person_consists_of_them(
    client: httpx.AsyncClient, worker: JobRunner, moved: Services
) -> None:
    await an_album(client, (3,), (3, 9))
    await people_of(client)
    await stop_when_idle(worker, moved)
    await moved.run_housekeeping()
    assert await count(moved, OF_THE_OLD_NETWORK) == 3
    await run_jobs(moved)
    await moved.run_housekeeping()
    assert await count(moved, OF_THE_OLD_NETWORK) == 0
    assert await count(moved, "faces") == 3


async def test_an_album_that_has_moved_is_left_alone(
    client: httpx.AsyncClient, worker: JobRunner, moved: Services
) -> None:
    await an_album(client, (3,))
    await people_of(client)
    await stop_when_idle(worker, moved)
    await moved.run_housekeeping()
    await run_jobs(moved)
    jobs = await count(moved, "jobs")
    await moved.run_housekeeping()
    assert await count(moved, "jobs") == jobs


async def test_an_album_whose_move_failed_is_not_tried_again_at_once(
    client: httpx.AsyncClient, worker: JobRunner, moved: Services
) -> None:
    await an_album(client, (3,))
    await people_of(client)
    await stop_when_idle(worker, moved)
    await moved.run_housekeeping()
    async with moved.database.transaction() as session:
        await session.execute(
            text("UPDATE jobs SET status = 'failed', finished_at = now(), dedupe_key = NULL WHERE status = 'queued'")
        )
    await moved.run_housekeeping()
    assert await count(moved, UNFINISHED) == 0
    async with moved.database.transaction() as session:
        await session.execute(text("UPDATE jobs SET finished_at = now() - interval '2 h' WHERE status = 'failed'"))
    await moved.run_housekeeping()
    assert await count(moved, UNFINISHED) == 1


async def test_results_of_the_old_network_are_answered_no_more_whatever_their_parameters(
    client: httpx.AsyncClient, worker: JobRunner, moved: Services
) -> None:
    await an_album(client, (3,), (3,))
    await people_of(client)
    await people_of(client, min_images=2)
    await stop_when_idle(worker, moved)
    await moved.run_housekeeping()
    await run_jobs(moved)
    assert await count(moved, "results WHERE kind = 'people'") == 1
