"""Deleting a user removes everything of the user's, whatever is under way, and nothing of another's."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from configs.settings import Settings, Styles
from deployments.contracts.albums import Face
from deployments.errors import NotFound, Unavailable
from serve_app.services.container import Services
from serve_app.services.images.store import EncodedImage, ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.services.runner import JobRunner
from serve_app.storage import Storage
from serve_app.store.repositories import albums, events
from tests.api.conftest import assert_problem, embed, upload
from tests.api.sdapi.conftest import SMALL, V1, until
from tests.api.test_housekeeping import PictureServer, count, stored_files
from tests.support.accounts import Account, with_keys
from tests.support.builders import an_image, encoded
from tests.support.fake_diffuser import FakeDiffuser
from tests.support.fakes import with_face
from tests.support.people import decide, faces, fill_album, people

PORTRAIT_PIXELS = with_face(an_image((1400, 60)), person=3, size=20)
PORTRAIT = encoded(PORTRAIT_PIXELS, "PNG")
"""Large enough to have a preview."""
OF_PICTURES = (
    *("picture_vectors", "picture_quality", "picture_texts"),
    *("face_scans", "faces", "person_faces", "pair_verdicts"),
)
EMPTY = (*OF_PICTURES, "persons")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_keys(settings.model_copy(update={"styles": Styles(engines=("gemini",), max_px=256)}))


class HoldingCapabilities(FakeDiffuser):
    """Looks for faces only when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.looking = asyncio.Event()
        self.look = asyncio.Event()
        self.look.set()

    async def find_faces(self, images: Any) -> list[list[Face]]:
        self.looking.set()
        await self.look.wait()
        return await super().find_faces(images)


@pytest.fixture
def capabilities() -> HoldingCapabilities:
    return HoldingCapabilities()


async def rows_of(services: Services, user_id: str) -> dict[str, int]:
    """Table -> how many rows name the user."""
    async with services.database.transaction() as session:
        tables = await session.scalars(
            text("SELECT table_name FROM information_schema.columns WHERE column_name = 'user_id'")
        )
        counts = {
            table: int(await session.scalar(text(f"SELECT count(*) FROM {table} WHERE user_id = :id"), {"id": user_id}))
            for table in list(tables)
        }
        counts["users"] = int(await session.scalar(text("SELECT count(*) FROM users WHERE id = :id"), {"id": user_id}))
    return counts


async def assert_nothing_left(services: Services, settings: Settings, user_id: str) -> None:
    assert set((await rows_of(services, user_id)).values()) == {0}
    for table in ("contents", "images", "albums", "album_images", "analysis_results", "job_inputs", *EMPTY):
        assert await count(services, table) == 0, table
    assert stored_files(settings) == []


async def leave(account: Account) -> None:
    response = await account.client.delete(f"/api/v1/users/{account.id}")
    assert response.status_code == 204, response.text


async def idle(services: Services, runner: JobRunner) -> None:
    """Until the worker has laid down whatever it had."""

    async def nothing_runs() -> bool:
        return not runner._running

    await until(nothing_runs)


async def test_everything_of_a_deleted_user_goes(
    eva: Account, services: Services, settings: Settings, worker: JobRunner
) -> None:
    urls = await upload(eva.client, PORTRAIT, encoded(an_image(seed=1), "PNG"))
    await embed(eva.client, "a", urls)
    for kind in ("clusters", "duplicates", "tags", "quality", "texts"):
        assert (await eva.client.post(f"/api/v1/albums/{kind}", json={"album_id": "a"})).status_code == 200
    body = {"image_url": urls[0], "style_name": "ink"}
    assert (await eva.client.post("/api/v1/style", json=body, headers={"Idempotency-Key": "k"})).status_code == 200
    for path, fields in (("avatars", {"animal": "fox"}), ("segmentations", {})):
        sent = await eva.client.post(f"/api/v1/{path}", data=fields, files={"file": ("a.png", PORTRAIT)})
        assert sent.status_code == 200
    assert (await eva.client.post(f"{V1}/txt2img", json=SMALL)).status_code == 200
    assert (await eva.client.post(f"{V1}/options", json={"jpeg_quality": 55})).status_code == 200
    assert (await eva.client.post("/api/v1/webhooks", json={"url": "http://127.0.0.1:9/"})).status_code == 201
    said = {"subject": {"image_id": urls[0].rsplit("/", 1)[1].split(".")[0], "tag": "dog"}, "verdict": "wrong"}
    assert (await eva.client.post("/api/v1/feedback", json=said)).status_code == 200
    await fill_album(eva.client, "b", (1,), (1,))
    [person] = [one["id"] for one in await people(eva.client) if one["face_count"] == 2]
    await decide(eva.client, f"/api/v1/faces/{(await faces(eva.client, person))[0]}/reject", person_id=person)
    assert (await eva.client.post("/api/v1/session", json={"api_key": eva.key})).status_code == 200
    await embed(eva.client, "twice", await upload(eva.client, PORTRAIT, PORTRAIT))
    await eva.client.post("/api/v1/albums/duplicates", json={"album_id": "twice"})
    [group] = (await eva.client.get("/api/v1/albums/twice/duplicates")).json()["items"]
    assert (await eva.client.post(f"/api/v1/albums/twice/duplicates/{group['id']}/dismiss")).status_code == 200
    await fill_album(eva.client, "c", (2,), (2,), (2,), (2,))  # of which the rule asks
    async with services.database.transaction() as session:
        await events.remove_older(session, 3600.0, 1)
    before = await rows_of(services, eva.id)
    assert [table for table, rows in before.items() if not rows] == [], "this test must fill every table of users"
    assert await count(services, "person_faces") > 0
    await idle(services, worker)
    await leave(eva)
    await assert_nothing_left(services, settings, eva.id)
    assert_problem(await eva.client.get("/api/v1/history"), 401)


async def test_anothers_equal_pictures_stay_with_what_is_known_of_them(
    eva: Account, bob: Account, services: Services, settings: Settings, worker: JobRunner
) -> None:
    for account in (eva, bob):
        await embed(account.client, "a", await upload(account.client, PORTRAIT))
        await account.client.post("/api/v1/albums/clusters", json={"album_id": "a"})
    await idle(services, worker)
    bobs = (await bob.client.get("/api/v1/albums/a")).json()
    rows = await rows_of(services, bob.id)
    await leave(eva)
    assert (await bob.client.get("/api/v1/albums/a")).json() == bobs
    assert await rows_of(services, bob.id) == rows
    assert (await bob.client.get(bobs["images"][0]["image"])).content == PORTRAIT
    assert await count(services, "faces") == 1
    assert len(stored_files(settings)) == 2  # with its preview


async def test_faces_go_when_the_other_has_the_picture_in_no_album(
    eva: Account, bob: Account, services: Services, worker: JobRunner
) -> None:
    await embed(eva.client, "a", await upload(eva.client, PORTRAIT))
    [bobs] = await upload(bob.client, PORTRAIT)
    await idle(services, worker)
    assert await count(services, "faces") == 1
    await leave(eva)
    for table in EMPTY:
        assert await count(services, table) == 0, table
    assert (await bob.client.get(bobs)).content == PORTRAIT


async def test_verdicts_go_when_the_other_has_the_pictures_in_no_album(
    eva: Account, bob: Account, services: Services, worker: JobRunner
) -> None:
    image = an_image((300, 200), seed=3)
    copies = encoded(image, "PNG"), encoded(image, "JPEG")
    await embed(eva.client, "a", await upload(eva.client, *copies))
    assert (await eva.client.post("/api/v1/albums/duplicates", json={"album_id": "a"})).json()["duplicates"]
    await upload(bob.client, *copies)
    await idle(services, worker)
    assert await count(services, "pair_verdicts") == 1
    await leave(eva)
    assert await count(services, "pair_verdicts") == 0


async def test_faces_go_with_a_single_picture_too(
    eva: Account, bob: Account, services: Services, worker: JobRunner
) -> None:
    [url] = await upload(eva.client, PORTRAIT)
    await embed(eva.client, "a", [url])
    await upload(bob.client, PORTRAIT)
    await idle(services, worker)
    assert await count(services, "faces") == 1
    await delete_image(eva, url)
    for table in OF_PICTURES:
        assert await count(services, table) == 0, table


async def test_faces_stay_while_another_album_has_the_picture(
    eva: Account, bob: Account, services: Services, worker: JobRunner
) -> None:
    [url] = await upload(eva.client, PORTRAIT)
    await embed(eva.client, "a", [url])
    await embed(bob.client, "b", await upload(bob.client, PORTRAIT))
    await delete_image(eva, url)
    assert await count(services, "faces") == 1


async def test_results_for_an_image_that_is_gone_are_not_kept(
    eva: Account, bob: Account, services: Services, worker: JobRunner, capabilities: HoldingCapabilities
) -> None:
    [url] = await upload(eva.client, PORTRAIT)
    await upload(bob.client, PORTRAIT)
    capabilities.look.clear()
    reading = asyncio.create_task(eva.client.post("/api/v1/albums/embeddings", json={"images": [url]}))
    await asyncio.wait_for(capabilities.looking.wait(), 20)
    await delete_image(eva, url)
    capabilities.look.set()
    await asyncio.wait_for(reading, 20)
    await idle(services, worker)
    for table in OF_PICTURES:
        assert await count(services, table) == 0, table


async def delete_image(account: Account, url: str) -> None:
    image = url.rsplit("/", 1)[1].split(".")[0]
    assert (await account.client.delete(f"/api/v1/images/{image}")).status_code == 204


async def test_pictures_in_the_making_are_stopped_at_once_and_leave_nothing(
    eva: Account, services: Services, settings: Settings, worker: JobRunner, capabilities: HoldingCapabilities
) -> None:
    capabilities.go.clear()
    making = asyncio.create_task(eva.client.post(f"{V1}/txt2img", json=SMALL))
    await asyncio.wait_for(capabilities.begun.acquire(), 20)
    await leave(eva)
    await asyncio.wait_for(capabilities.given_up.acquire(), 20)
    assert (await asyncio.wait_for(making, 20)).status_code == 404
    await idle(services, worker)
    await assert_nothing_left(services, settings, eva.id)


async def test_an_engine_that_never_answers_is_given_up_when_its_user_is_deleted(
    eva: Account, services: Services, settings: Settings, worker: JobRunner, capabilities: HoldingCapabilities
) -> None:
    capabilities.hanging.add("gemini")
    [url] = await upload(eva.client, PORTRAIT)
    body = {"image_url": url, "style_name": "ink"}
    styling = asyncio.create_task(eva.client.post("/api/v1/style", json=body))
    await asyncio.wait_for(capabilities.hangs.wait(), 20)
    await leave(eva)
    assert_problem(await asyncio.wait_for(styling, 20), 404, "not-found")
    await idle(services, worker)
    await assert_nothing_left(services, settings, eva.id)


@pytest.mark.parametrize(
    ("path", "engine"),
    [("segmentations", "segment:local"), ("avatars", "segment:local"), ("avatars", "avatar:local")],
)
async def test_a_portrait_that_is_being_worked_on_leaves_nothing(
    eva: Account,
    services: Services,
    settings: Settings,
    worker: JobRunner,
    capabilities: HoldingCapabilities,
    path: str,
    engine: str,
) -> None:
    capabilities.hanging.add(engine)
    fields = {"animal": "fox"} if path == "avatars" else {}
    files = {"file": ("a.png", PORTRAIT)}
    waiting = asyncio.create_task(eva.client.post(f"/api/v1/{path}", data=fields, files=files))
    await asyncio.wait_for(capabilities.hangs.wait(), 20)
    await leave(eva)
    assert_problem(await asyncio.wait_for(waiting, 20), 404, "not-found")
    await idle(services, worker)
    await assert_nothing_left(services, settings, eva.id)


async def test_an_album_that_is_being_read_leaves_nothing(
    eva: Account, services: Services, settings: Settings, worker: JobRunner, capabilities: HoldingCapabilities
) -> None:
    capabilities.look.clear()
    urls = await upload(eva.client, PORTRAIT, encoded(an_image(seed=1), "PNG"))
    body = {"images": urls, "album_id": "a"}
    embedding = asyncio.create_task(eva.client.post("/api/v1/albums/embeddings", json=body))
    await asyncio.wait_for(capabilities.looking.wait(), 20)
    await leave(eva)
    capabilities.look.set()
    assert (await asyncio.wait_for(embedding, 20)).status_code == 404
    await idle(services, worker)
    await services.run_housekeeping()
    await assert_nothing_left(services, settings, eva.id)


async def test_faces_that_are_found_after_the_user_has_left_are_not_kept(
    eva: Account, bob: Account, services: Services, capabilities: HoldingCapabilities
) -> None:
    """Though somebody else stored the same picture, and so its content is still there."""
    [bobs] = await upload(bob.client, PORTRAIT)
    await services.albums.request_embeddings(eva.id, await upload(eva.client, PORTRAIT), "a")
    async with services.database.transaction() as session:
        album = await albums.find(session, eva.id, "a")
    assert album is not None
    capabilities.look.clear()
    reading = asyncio.create_task(services.reader.read_album(eva.id, album.id, Progress()))
    await asyncio.wait_for(capabilities.looking.wait(), 20)
    await leave(eva)
    capabilities.look.set()
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(reading, 20)
    assert raised.group_contains(NotFound)
    for table in EMPTY:
        assert await count(services, table) == 0, table
    assert (await bob.client.get(bobs)).content == PORTRAIT


async def test_a_picture_that_is_being_fetched_leaves_nothing(
    eva: Account, services: Services, settings: Settings, worker: JobRunner
) -> None:
    pictures = PictureServer()
    async with await asyncio.start_server(pictures, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        posted = asyncio.create_task(eva.client.post("/api/v1/albums/embeddings", json={"images": [url]}))
        await asyncio.wait_for(pictures.asked.wait(), 20)
        await leave(eva)
        pictures.go.set()
        assert (await asyncio.wait_for(posted, 20)).status_code == 404
    await idle(services, worker)
    await services.run_housekeeping()
    await assert_nothing_left(services, settings, eva.id)


class GatedStorage:
    """Storage whose next file is written only when it is let go."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.writing, self.go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def put(self, key: str, source: bytes | Path, content_type: str = "application/octet-stream") -> None:
        self.writing.set()
        await self.go.wait()
        await self._storage.put(key, source, content_type)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_file_that_is_just_being_written_goes_with_the_next_housekeeping(
    eva: Account, services: Services, settings: Settings, is_cancelled: bool
) -> None:
    """The collector has taken the announcement by the time that the file is there."""
    storage = GatedStorage(services.pictures._storage)
    store = ImageStore(services.database, storage, settings)  # type: ignore[arg-type]
    adding = asyncio.create_task(store.store_file(eva.id, EncodedImage(PORTRAIT, PORTRAIT_PIXELS), "made.png"))
    await asyncio.wait_for(storage.writing.wait(), 20)
    await leave(eva)
    assert await count(services, "contents") == 0
    if is_cancelled:  # its worker hears that the job is lost
        adding.cancel()
        await asyncio.sleep(0)
        await services.run_housekeeping()
    storage.go.set()
    with pytest.raises(asyncio.CancelledError if is_cancelled else NotFound):
        await asyncio.wait_for(adding, 20)
    assert stored_files(settings)
    await services.run_housekeeping()
    await assert_nothing_left(services, settings, eva.id)


@pytest.mark.parametrize("turn", range(3))
async def test_uploads_at_the_same_moment_end_well_or_find_nobody(
    eva: Account, services: Services, settings: Settings, worker: JobRunner, turn: int
) -> None:
    async def send(seed: int) -> int:
        files = {"file": ("a.png", encoded(an_image((1400, 30), seed), "PNG"))}
        headers = {"Idempotency-Key": str(seed)}
        return (await eva.client.post("/api/v1/images", files=files, headers=headers)).status_code

    async def leave_amid() -> int:
        async def has_begun() -> bool:
            return await count(services, "contents") > turn * 2

        await until(has_begun)
        return (await eva.client.delete(f"/api/v1/users/{eva.id}")).status_code

    *sent, left = await asyncio.gather(*(send(seed) for seed in range(12)), leave_amid())
    assert left == 204
    assert set(sent) <= {201, 401, 404}
    await services.run_housekeeping()
    await assert_nothing_left(services, settings, eva.id)


@pytest.mark.parametrize("turn", range(4))
async def test_jobs_that_end_at_the_same_moment_disturb_nothing(
    eva: Account, bob: Account, services: Services, settings: Settings, worker: JobRunner, turn: int
) -> None:
    [url] = await upload(eva.client, PORTRAIT)
    later = {"Prefer": "respond-async"}
    with capture_logs() as lines:
        for seed in range(6):
            body = {"image_url": url, "style_name": "ink", "seed": seed}
            await eva.client.post("/api/v1/style", json=body, headers=later)
            await eva.client.post("/api/v1/albums/quality", json={"images": [url]}, headers=later)
            await eva.client.post(f"{V1}/txt2img", json=SMALL, headers=later)

        async def some_ended() -> bool:
            async with services.database.transaction() as session:
                statement = text("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL")
                return int(await session.scalar(statement) or 0) > turn * 3

        await until(some_ended)
        await leave(eva)
        await idle(services, worker)
    await services.run_housekeeping()
    await assert_nothing_left(services, settings, eva.id)
    assert [line for line in lines if line["log_level"] == "error"] == []
    [bobs] = await upload(bob.client, PORTRAIT)  # the worker goes on
    styled = await bob.client.post("/api/v1/style", json={"image_url": bobs, "style_name": "ink"})
    assert styled.status_code == 200


async def test_a_worker_that_locks_in_another_order_does_not_keep_the_user_from_leaving(
    eva: Account, services: Services, settings: Settings
) -> None:
    """It ends the history row and then the job; the deletion comes from the other side. PostgreSQL sends one away."""
    body = {"image_url": "img_0000000000", "style_name": "ink"}
    await eva.client.post("/api/v1/style", json=body, headers={"Prefer": "respond-async"})

    async def somebody_waits() -> bool:
        async with services.database.transaction() as session:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return bool(await session.scalar(text(waiting)))

    with suppress(Unavailable):  # on a busy machine it may be the worker that is sent away
        async with services.database.transaction() as session:
            await session.execute(text("UPDATE generations SET engine = 'x'"))
            leaving = asyncio.create_task(leave(eva))
            await until(somebody_waits)
            await session.execute(text("UPDATE jobs SET progress = 1"))
    await asyncio.wait_for(leaving, 20)
    await assert_nothing_left(services, settings, eva.id)


async def test_a_job_that_waits_never_runs(
    eva: Account, services: Services, settings: Settings, capabilities: HoldingCapabilities
) -> None:
    [url] = await upload(eva.client, PORTRAIT)
    body = {"image_url": url, "style_name": "ink"}
    job = await eva.client.post("/api/v1/style", json=body, headers={"Prefer": "respond-async"})
    assert job.status_code == 202
    await leave(eva)
    await assert_nothing_left(services, settings, eva.id)
    assert capabilities.asked == []


async def test_two_deletions_of_a_user_at_once_are_one_success_and_one_404(
    eva: Account, admin: httpx.AsyncClient
) -> None:
    path = f"/api/v1/users/{eva.id}"
    answers = await asyncio.gather(admin.delete(path), admin.delete(path))
    assert sorted(answer.status_code for answer in answers) == [204, 404]


async def test_the_name_of_a_deleted_user_is_free_again(eva: Account, admin: httpx.AsyncClient) -> None:
    await leave(eva)
    made = await admin.post("/api/v1/users", json={"username": "eva", "email": "eva@example.org"})
    assert made.status_code == 201
    assert made.json()["id"] != eva.id
