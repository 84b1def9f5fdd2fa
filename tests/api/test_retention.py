"""Temporary images are removed after a while; those that are still needed stay."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Jobs, Retention, Settings
from deployments.errors import NotFound
from serve_app.services.container import Services
from serve_app.services.images.service import ImageView
from serve_app.services.jobs.progress import Progress
from serve_app.services.runner import JobRunner
from serve_app.store.queue import claims
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, embed
from tests.api.sdapi.conftest import until
from tests.api.test_housekeeping import PictureServer, count, stored_files
from tests.support.builders import an_image, encoded
from tests.support.fakes import FakeCapabilities

DAY = 86400


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"retention": Retention(temporary_s=DAY)})


class SentFile:
    """An upload in progress."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, size: int = -1, /) -> bytes:
        part, self._data = self._data, b""
        return part


async def add(services: Services, seed: int = 0, *, temporary: bool = True) -> ImageView:
    """A picture large enough to have a preview."""
    data = encoded(an_image((1400, 40), seed), "PNG")
    return await services.images.upload(LOCAL_USER_ID, "a.png", SentFile(data), temporary=temporary)


async def age(services: Services, seconds: float = DAY + 1) -> None:
    async with services.database.transaction() as session:
        statement = text("UPDATE images SET created_at = created_at - make_interval(secs => :seconds)")
        await session.execute(statement, {"seconds": seconds})


async def is_there(services: Services, image: ImageView) -> bool:
    try:
        await services.images.get(LOCAL_USER_ID, image.id)
    except NotFound:
        return False
    return True


async def test_an_old_temporary_picture_goes_with_its_files(services: Services, settings: Settings) -> None:
    image = await add(services)
    assert len(stored_files(settings)) == 2
    await age(services)
    await services.run_housekeeping()
    assert not await is_there(services, image)
    assert stored_files(settings) == []


async def test_young_temporary_images_and_uploads_are_kept(services: Services) -> None:
    kept = await add(services, temporary=False)
    await age(services)
    young = await add(services, seed=1)
    await services.run_housekeeping()
    assert await is_there(services, kept)
    assert await is_there(services, young)


async def test_of_equal_pictures_the_one_that_is_not_temporary_keeps_the_bytes(
    services: Services, settings: Settings
) -> None:
    temporary, kept = await add(services), await add(services, temporary=False)
    await age(services)
    await services.run_housekeeping()
    assert not await is_there(services, temporary)
    assert await is_there(services, kept)
    assert len(stored_files(settings)) == 2


async def test_a_picture_that_an_album_holds_stays_until_the_album_goes(
    client: httpx.AsyncClient, services: Services
) -> None:
    image = await add(services)
    await embed(client, "a", [image.id])
    await age(services)
    await services.run_housekeeping()
    assert await is_there(services, image)
    await client.delete("/api/v1/albums/a")
    await services.run_housekeeping()
    assert not await is_there(services, image)


async def test_a_picture_that_a_waiting_job_names_stays_until_the_job_has_ended(
    idle_client: httpx.AsyncClient, services: Services
) -> None:
    image = await add(services)
    body = {"image_url": f"http://darkroom.test/api/v1/files/{image.key}", "style_name": "ink"}
    job = (await idle_client.post("/api/v1/style", json=body, headers={"Prefer": "respond-async"})).json()
    await age(services)
    await services.run_housekeeping()
    assert await is_there(services, image)
    await idle_client.delete(f"/api/v1/jobs/{job['id']}")
    await services.run_housekeeping()
    assert not await is_there(services, image)


async def test_what_a_job_has_fetched_stays_while_it_runs_and_the_history_outlives_it(
    client: httpx.AsyncClient, services: Services, capabilities: FakeCapabilities
) -> None:
    pictures = PictureServer()
    pictures.go.set()
    capabilities.hanging.add("opencv")
    async with await asyncio.start_server(pictures, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        body = {"image_url": url, "style_name": "ink"}
        job = (await client.post("/api/v1/style", json=body, headers={"Prefer": "respond-async"})).json()
        await asyncio.wait_for(capabilities.hangs.wait(), 20)
    await age(services)
    await services.run_housekeeping()
    assert await count(services, "images") == 1
    await client.delete(f"/api/v1/jobs/{job['id']}")

    async def ended() -> bool:
        [entry] = (await client.get("/api/v1/history")).json()["items"]
        return bool(entry["status"] == "cancelled")

    await until(ended)
    await services.run_housekeeping()
    assert await count(services, "images") == 0
    [entry] = (await client.get("/api/v1/history")).json()["items"]
    assert entry["input"] == url


async def test_the_history_keeps_its_row_and_its_output_when_the_input_goes(
    client: httpx.AsyncClient, services: Services
) -> None:
    image = await add(services)
    made = (await client.post("/api/v1/style", json={"image_url": image.id, "style_name": "ink"})).json()
    await age(services)
    await services.run_housekeeping()
    assert not await is_there(services, image)
    entry = (await client.get(f"/api/v1/history/{made['history_id']}")).json()
    assert entry["output_url"] == made["image_url"]
    assert (await client.get(made["image_url"])).status_code == 200
    again = await client.post("/api/v1/style", json={"image_url": image.id, "style_name": "ink"})
    assert assert_problem(again, 400)["code"] == "not_found"


async def test_more_than_one_batch_of_temporary_images_goes_in_one_round(
    services: Services, settings: Settings
) -> None:
    image = await add(services)
    async with services.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO images (id, user_id, sha256, temporary) "
                "SELECT 'img_' || lpad(n::text, 26, '0'), :user, :sha, true FROM generate_series(1, 2500) AS one (n)"
            ),
            {"user": LOCAL_USER_ID, "sha": image.sha256},
        )
    await age(services)
    await services.run_housekeeping()
    assert await count(services, "images") == 0
    assert stored_files(settings) == []


async def test_workers_that_keep_house_at_once_do_not_disturb_one_another(
    services: Services, settings: Settings
) -> None:
    for seed in range(6):
        await add(services, seed)
    await age(services)
    await asyncio.gather(*(services.run_housekeeping() for _ in range(4)))
    await services.run_housekeeping()
    assert await count(services, "images") == 0
    assert stored_files(settings) == []


async def test_a_picture_whose_job_was_cancelled_at_its_very_end_goes_too(
    idle_client: httpx.AsyncClient, services: Services
) -> None:
    image = await add(services)
    body = {"image_url": image.id, "style_name": "ink"}
    await idle_client.post("/api/v1/style", json=body, headers={"Prefer": "respond-async"})
    async with services.database.transaction() as session:
        job = await claims.claim(session, worker="w", kinds=["style"], lease_s=60)
    assert job is not None
    await services.handlers["style"](job, Progress())
    async with services.database.transaction() as session:
        await claims.acknowledge_cancel(session, job)
    assert await count(services, "images") == 2
    await age(services)
    await services.run_housekeeping()
    assert await count(services, "images") == 0


class TestAWorker:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        jobs = Jobs(**(settings.jobs.model_dump() | {"housekeeping_s": 0.05}))
        return settings.model_copy(update={"jobs": jobs})

    async def test_does_it_by_itself(self, services: Services, settings: Settings, worker: JobRunner) -> None:
        await add(services)
        await age(services)

        async def gone() -> bool:
            return not stored_files(settings)

        await until(gone)
