"""Two users: what one owns does not exist for the other, on any route, and no request of the other changes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from configs.settings import Settings, Styles
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from tests.api.conftest import assert_problem, embed, upload
from tests.api.sdapi.conftest import SMALL, V1, assert_webui_error, until
from tests.support.accounts import BASE, Account, bearer, with_keys
from tests.support.builders import an_image, encoded
from tests.support.fake_diffuser import FakeDiffuser
from tests.support.fakes import with_face

PICTURE = encoded(with_face(an_image(), person=3), "PNG")

EDITS: dict[str, dict[str, str]] = {"style": {"style_name": "ink"}, "avatars": {"animal": "fox"}, "segmentations": {}}
"""Route -> what it needs beside the picture."""
MADE = (
    ("style", "image_url"),
    ("avatars", "image_url"),
    ("segmentations", "mask_url"),
    ("segmentations", "cutout_url"),
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    with_engine = settings.model_copy(update={"styles": Styles(engines=("gemini",), max_px=256)})
    return with_keys(with_engine)


@pytest.fixture
def capabilities() -> FakeDiffuser:
    return FakeDiffuser()


@dataclass(frozen=True)
class Belongings:
    """What Eva has: a picture in an album, and those that were made of it."""

    image: str
    url: str
    album: str
    job: str
    history: str
    made_urls: tuple[str, ...]


@pytest_asyncio.fixture()
async def evas(eva: Account, worker: JobRunner) -> Belongings:
    [url] = await upload(eva.client, PICTURE)
    await embed(eva.client, "a", [url])
    made = {
        path: (await eva.client.post(f"/api/v1/{path}", json={"image_url": url, **fields})).json()
        for path, fields in EDITS.items()
    }
    urls = tuple(made[path][name] for path, name in MADE)
    [job] = [job for job in (await eva.client.get("/api/v1/albums/a")).json()["jobs"] if job["kind"] == "embeddings"]
    return Belongings(id_of(url), url, "a", job["id"], made["avatars"]["history_id"], urls)


def id_of(url: str) -> str:
    return url.rsplit("/", 1)[1].split(".")[0]


def path_of(url: str) -> str:
    return url.removeprefix(BASE)


async def everything_of(account: Account, evas: Belongings) -> list[Any]:
    """What the owner sees, to be compared with what is seen later."""
    client = account.client
    paths = (
        *(f"/api/v1/images/{evas.image}", "/api/v1/albums", "/api/v1/albums/a", "/api/v1/history"),
        *(f"/api/v1/jobs/{evas.job}", f"{V1}/options", f"/api/v1/users/{account.id}"),
    )
    seen = []
    for path in paths:
        response = await client.get(path)
        assert response.status_code == 200, path
        seen.append(response.json())
    for url in (evas.url, *evas.made_urls):
        seen.append((await client.get(url)).content)
    return seen


async def test_another_users_id_is_404_on_every_route_and_changes_nothing(
    eva: Account, bob: Account, evas: Belongings, services: Services
) -> None:
    await until(lambda: all_ended(eva))
    before = await everything_of(eva, evas)
    attempts: list[tuple[str, str, Any]] = [
        ("GET", f"/api/v1/images/{evas.image}", None),
        ("DELETE", f"/api/v1/images/{evas.image}", None),
        ("GET", path_of(evas.url), None),
        *(("GET", path_of(url), None) for url in evas.made_urls),
        ("GET", "/api/v1/albums/a", None),
        ("GET", "/api/v1/albums/a/search?q=red", None),
        ("GET", f"/api/v1/albums/a/similar?image={evas.image}", None),
        *(("GET", f"/api/v1/albums/a/{name}", None) for name in ("images", "tags", "people", "failed?kind=tags")),
        ("DELETE", "/api/v1/albums/a", None),
        ("PATCH", "/api/v1/albums/a", {"title": "bobs"}),
        ("GET", "/api/v1/albums/a/duplicates", None),
        ("GET", "/api/v1/albums/a/duplicates?status=dismissed", None),
        ("GET", "/api/v1/search?q=red&album_id=a", None),
        ("POST", "/api/v1/albums/a/duplicates/resolve", {"level": "copy"}),
        ("POST", f"/api/v1/albums/a/duplicates/dup_{'0' * 32}/dismiss", None),
        (
            "POST",
            f"/api/v1/albums/a/duplicates/dup_{'0' * 32}/resolve",
            {"keep": [evas.image], "trash": [evas.image]},
        ),
        *((method, "/api/v1/albums/a/images", {"images": [evas.url]}) for method in ("POST", "DELETE")),
        *(
            ("POST", f"/api/v1/albums/{kind}", {"album_id": "a"})
            for kind in ("tags", "duplicates", "clusters", "quality", "texts")
        ),
        ("GET", f"/api/v1/jobs/{evas.job}", None),
        ("GET", f"/api/v1/jobs/{evas.job}/events", None),
        ("DELETE", f"/api/v1/jobs/{evas.job}", None),
        ("GET", f"/api/v1/history/{evas.history}", None),
    ]
    for method, path, body in attempts:
        assert_problem(await bob.client.request(method, path, json=body), 404, "not-found")
    assert await everything_of(eva, evas) == before


async def all_ended(account: Account) -> bool:
    jobs = (await account.client.get("/api/v1/albums/a")).json()["jobs"]
    return all(job["status"] not in {"queued", "running"} for job in jobs)


async def test_lists_hold_ones_own_only(bob: Account, evas: Belongings) -> None:
    assert (await bob.client.get("/api/v1/albums")).json()["items"] == []
    assert (await bob.client.get("/api/v1/history")).json()["items"] == []
    assert (await bob.client.get("/internal/pending-tasks")).json() == {"size": 0, "tasks": []}


@pytest.mark.parametrize("name", ["image", "url"])
async def test_anothers_picture_as_a_reference_is_not_found(bob: Account, evas: Belongings, name: str) -> None:
    ref = getattr(evas, name)
    [own] = await upload(bob.client, encoded(an_image(seed=5), "PNG"))
    answer = (await bob.client.post("/api/v1/albums/embeddings", json={"images": [own, ref]})).json()
    assert [(entry["image"], entry["code"]) for entry in answer["failed"]] == [(ref, "not_found")]
    quality = (await bob.client.post("/api/v1/albums/quality", json={"images": [own, ref]})).json()
    assert [entry["code"] for entry in quality["failed"]] == ["not_found"]
    for path, fields in EDITS.items():
        made = await bob.client.post(f"/api/v1/{path}", json={"image_url": ref, **fields})
        assert assert_problem(made, 400, "bad-image")["code"] == "not_found"


async def test_an_album_of_the_same_name_is_ones_own(eva: Account, bob: Account, evas: Belongings) -> None:
    [own] = await upload(bob.client, encoded(an_image(seed=5), "PNG"))
    await embed(bob.client, "a", [own])
    assert [one["image"] for one in (await bob.client.get("/api/v1/albums/a")).json()["images"]] == [own]
    assert [one["image"] for one in (await eva.client.get("/api/v1/albums/a")).json()["images"]] == [evas.url]


async def test_equal_pictures_of_others_are_no_duplicates(bob: Account, evas: Belongings) -> None:
    urls = await upload(bob.client, PICTURE, encoded(an_image(seed=9), "PNG"))
    await embed(bob.client, "mine", urls)
    answer = (await bob.client.post("/api/v1/albums/duplicates", json={"album_id": "mine"})).json()
    assert answer["duplicates"] == {}
    similar = await bob.client.get("/api/v1/albums/mine/similar", params={"image": urls[0]})
    assert {hit["image"] for hit in similar.json()["results"]} <= set(urls)


async def test_an_upload_does_not_tell_that_another_has_the_same_picture(bob: Account, evas: Belongings) -> None:
    new, known = await upload(bob.client, encoded(an_image(seed=7), "PNG"), PICTURE)
    answers = [(await bob.client.get(f"/api/v1/images/{id_of(url)}")).json() for url in (new, known)]
    assert answers[0].keys() == answers[1].keys()
    assert evas.image not in str(answers)


async def test_deleting_ones_picture_keeps_anothers_equal_one(eva: Account, bob: Account, evas: Belongings) -> None:
    [url] = await upload(bob.client, PICTURE)
    assert (await eva.client.delete(f"/api/v1/images/{evas.image}")).status_code == 204
    assert (await bob.client.get(url)).content == PICTURE
    assert_problem(await eva.client.get(evas.url), 404)


async def test_an_idempotency_key_is_each_users_own(eva: Account, bob: Account, services: Services) -> None:
    headers = {"Idempotency-Key": "k"}
    for account in (eva, bob):
        files = {"file": ("a.png", encoded(an_image(), "PNG"))}
        response = await account.client.post("/api/v1/images", files=files, headers=headers)
        assert response.status_code == 201
        assert "idempotent-replayed" not in response.headers
        again = await account.client.post("/api/v1/images", files=files, headers=headers)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == response.json()
        image = response.json()["images"][0]["id"]
        assert (await account.client.get(f"/api/v1/images/{image}")).status_code == 200


async def test_the_administrators_key_replays_nobodys_answer(eva: Account, admin: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"image_url": "img_0000000000", "style_name": "nowhere"}
    await eva.client.post("/api/v1/style", json=body, headers=headers)
    assert_problem(await admin.post("/api/v1/style", json=body, headers=headers), 403)


class TestWebApiOwnership:
    @pytest_asyncio.fixture()
    async def held_up(
        self, eva: Account, worker: JobRunner, capabilities: FakeDiffuser
    ) -> AsyncIterator[asyncio.Task[httpx.Response]]:
        """Eva's picture in the making, which waits after its first step."""
        capabilities.go.clear()
        body = SMALL | {"force_task_id": "evas"}
        making = asyncio.create_task(eva.client.post(f"{V1}/txt2img", json=body))
        await asyncio.wait_for(capabilities.begun.acquire(), 20)
        yield making
        capabilities.go.set()
        await making

    async def test_ones_progress_is_not_anothers(
        self, eva: Account, bob: Account, held_up: asyncio.Task[httpx.Response]
    ) -> None:
        assert (await eva.client.get(f"{V1}/progress")).json()["progress"] > 0
        assert (await bob.client.get(f"{V1}/progress")).json()["progress"] == 0
        by_name = {"force_task_id": "evas"}
        assert (await bob.client.get(f"{V1}/progress", params=by_name)).json()["state"]["job_count"] == 0
        task = (await bob.client.post("/internal/progress", json={"id_task": "evas"})).json()
        assert not any((task["active"], task["queued"], task["completed"]))

    async def test_nobody_stops_anothers_picture(
        self,
        eva: Account,
        bob: Account,
        held_up: asyncio.Task[httpx.Response],
        capabilities: FakeDiffuser,
        services: Services,
    ) -> None:
        for path in ("interrupt", "skip"):
            for query in ({}, {"force_task_id": "evas"}):
                assert (await bob.client.post(f"{V1}/{path}", params=query)).status_code == 200
        running = (await services.generation.load_queue(eva.id)).running
        assert running is not None
        assert running.stop_requested is None
        capabilities.go.set()
        made = await held_up
        assert made.status_code == 200
        assert len(made.json()["images"]) == 1

    async def test_settings_are_each_users_own(self, eva: Account, bob: Account) -> None:
        assert (await eva.client.post(f"{V1}/options", json={"jpeg_quality": 55})).status_code == 200
        assert (await eva.client.get(f"{V1}/options")).json()["jpeg_quality"] == 55
        assert (await bob.client.get(f"{V1}/options")).json()["jpeg_quality"] == 80

    async def test_anothers_picture_is_no_init_image(
        self, live_url: str, eva: Account, bob: Account, evas: Belongings
    ) -> None:
        async with httpx.AsyncClient(base_url=live_url, headers=bearer(bob.key), timeout=60) as client:
            for ref in (evas.image, live_url + path_of(evas.url)):
                response = await client.post(f"{V1}/img2img", json=SMALL | {"init_images": [ref]})
                assert_webui_error(response, 500, "HTTPException")


async def test_the_server_does_not_fetch_anothers_picture_from_itself(
    live_url: str, bob: Account, evas: Belongings
) -> None:
    ref = live_url + path_of(evas.url)
    response = await bob.client.post("/api/v1/style", json={"image_url": ref, "style_name": "ink"})
    assert assert_problem(response, 400, "bad-image")["code"] == "not_found"


async def test_a_list_holds_ones_own_images_only(evas: Belongings, eva: Account, bob: Account) -> None:
    people = await eva.client.post("/api/v1/albums/clusters?detail=true", json={"album_id": evas.album})
    [person] = people.json()["people"]
    mine = (await eva.client.get("/api/v1/images", params={"person_id": person["id"]})).json()["items"]
    assert evas.image in [item["id"] for item in mine]
    assert (await bob.client.get("/api/v1/images")).json()["items"] == []
    assert_problem(await bob.client.get("/api/v1/images", params={"person_id": person["id"]}), 404)
    assert_problem(await bob.client.get("/api/v1/images", params={"album_id": evas.album}), 404)


async def test_anothers_image_can_neither_be_changed_nor_found_by_its_bytes(
    evas: Belongings, eva: Account, bob: Account
) -> None:
    before = (await eva.client.get(f"/api/v1/images/{evas.image}")).json()
    change = {"filename": "bobs.png", "tags": {"add": ["bob"]}}
    assert_problem(await bob.client.patch(f"/api/v1/images/{evas.image}", json=change), 404)
    assert_problem(await bob.client.get(f"/api/v1/images/by-sha256/{before['sha256']}"), 404)
    assert (await eva.client.get(f"/api/v1/images/{evas.image}")).json() == before


async def test_anothers_images_cannot_be_thrown_away(evas: Belongings, eva: Account, bob: Account) -> None:
    for action in ("trash", "delete", "restore"):
        answer = await bob.client.post("/api/v1/images/batch", json={"ids": [evas.image], "action": action})
        assert answer.json()["failed"] == [{"id": evas.image, "code": "not_found"}]
    assert (await bob.client.delete("/api/v1/trash")).status_code == 204
    assert (await bob.client.get("/api/v1/trash")).json()["items"] == []
    assert (await eva.client.get(f"/api/v1/images/{evas.image}")).json()["trashed_at"] is None
