"""Actions on many images, and the trash, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Settings
from serve_app.services.container import Services
from serve_app.store.repositories import image_tags
from tests.api.conftest import assert_problem, embed, upload
from tests.api.test_housekeeping import count, stored_files
from tests.api.test_library_api import IMAGES, listed
from tests.support.builders import an_image, encoded


def id_of(url: str) -> str:
    return url.rsplit("/", 1)[1].split(".")[0]


async def pictures(client: httpx.AsyncClient, many: int, size: tuple[int, int] = (96, 64)) -> list[str]:
    """Upload different pictures. -> their urls"""
    return await upload(client, *(encoded(an_image(size, seed=seed), "PNG") for seed in range(many)))


async def act(client: httpx.AsyncClient, action: str, urls: list[str], **more: Any) -> dict[str, Any]:
    body = {"ids": [id_of(url) if "/" in url else url for url in urls], "action": action, **more}
    answer = await client.post(f"{IMAGES}/batch", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def trashed(client: httpx.AsyncClient) -> list[str]:
    return [item["url"] for item in (await client.get("/api/v1/trash")).json()["items"]]


async def album_images(client: httpx.AsyncClient, name: str) -> dict[str, str]:
    album = (await client.get(f"/api/v1/albums/{name}")).json()
    assert album["image_count"] == len(album["images"]) == sum(album["counts"].values())
    return {entry["image"]: entry["status"] for entry in album["images"]}


async def test_an_action_says_of_each_image_what_became_of_it(idle_client: httpx.AsyncClient) -> None:
    first, second = await pictures(idle_client, 2)
    answer = await act(idle_client, "trash", [second, "img_nothing", first, second])
    assert answer["done"] == [id_of(second), id_of(first)]
    assert answer["failed"] == [{"id": "img_nothing", "code": "not_found"}]


async def test_an_action_says_which_images_are_not_as_they_were(client: httpx.AsyncClient) -> None:
    first, second = await pictures(client, 2)
    ids = [id_of(second), id_of(first)]
    for action in ("trash", "restore"):
        await act(client, action, [first])
        answers = [await act(client, action, [second, first]) for _ in range(2)]
        assert [(answer["done"], answer["changed"]) for answer in answers] == [(ids, [id_of(second)]), (ids, [])]
    assert (await act(client, "add_to_album", [first], album_id="summer"))["changed"] is None
    assert (await act(client, "delete", [second, "img_nothing", first]))["changed"] == ids


async def test_an_image_in_the_trash_is_in_no_list_and_no_album_and_still_to_be_seen(
    client: httpx.AsyncClient,
) -> None:
    kept, thrown = await pictures(client, 2)
    await embed(client, "summer", [kept, thrown])
    await act(client, "trash", [thrown])
    assert [item["url"] for item in await listed(client)] == [kept]
    assert await album_images(client, "summer") == {kept: "embedded"}
    assert await trashed(client) == [thrown]
    assert (await client.get(f"{IMAGES}/{id_of(thrown)}")).json()["trashed_at"] is not None
    assert (await client.get(thrown, params={"size": 256})).status_code == 200
    groups = (await client.post("/api/v1/albums/quality", json={"album_id": "summer"})).json()
    assert [entry["image"] for entry in groups["quality"]] == [kept]
    sha256 = (await client.get(f"{IMAGES}/{id_of(thrown)}")).json()["sha256"]
    assert_problem(await client.get(f"{IMAGES}/by-sha256/{sha256}"), 404)


async def test_a_restored_image_is_back_in_its_albums_and_needs_no_reading(
    client: httpx.AsyncClient, services: Services
) -> None:
    urls = await pictures(client, 3)
    await embed(client, "summer", urls)
    await embed(client, "gone", urls)
    vectors = await count(services, "picture_vectors")
    for _ in range(2):
        assert (await act(client, "trash", urls[1:]))["failed"] == []
    await client.delete("/api/v1/albums/gone")
    for _ in range(2):
        assert (await act(client, "restore", urls))["failed"] == []
    assert await trashed(client) == []
    assert await album_images(client, "summer") == dict.fromkeys(urls, "embedded")
    assert await count(services, "picture_vectors") == vectors
    assert len(await listed(client, album_id="summer")) == 3


async def test_the_trash_is_emptied_for_good(client: httpx.AsyncClient, services: Services, settings: Settings) -> None:
    kept, *thrown = await pictures(client, 3, (1400, 60))
    await embed(client, "summer", [kept, *thrown])
    for url in thrown:
        assert (await client.get(url, params={"size": 256})).status_code == 200
    await act(client, "trash", thrown)
    assert (await client.delete("/api/v1/trash")).status_code == 204
    assert await trashed(client) == []
    assert await count(services, "contents") == 1
    assert await count(services, "picture_vectors") == 1
    assert await count(services, "trashed_items") == 0
    assert len(stored_files(settings)) == 2
    assert (await act(client, "restore", thrown))["done"] == []
    assert (await client.delete("/api/v1/trash")).status_code == 204


async def test_images_are_deleted_when_they_have_lain_in_the_trash_for_the_retention(
    idle_client: httpx.AsyncClient, services: Services
) -> None:
    old, new = await pictures(idle_client, 2)
    await act(idle_client, "trash", [old, new])
    async with services.database.transaction() as session:
        await session.execute(
            text("UPDATE images SET trashed_at = now() - interval '31 days' WHERE id = :id"), {"id": id_of(old)}
        )
    await services.run_housekeeping()
    assert await trashed(idle_client) == [new]
    answer = await act(idle_client, "restore", [old, new])
    assert (answer["done"], answer["failed"]) == ([id_of(new)], [{"id": id_of(old), "code": "not_found"}])


async def test_images_are_added_to_an_album_and_taken_out_of_it(client: httpx.AsyncClient) -> None:
    first, second, thrown = await pictures(client, 3)
    await act(client, "trash", [thrown])
    answer = await act(client, "add_to_album", [first, second, thrown], album_id="a/b")
    assert answer["done"] == [id_of(first), id_of(second)]
    assert answer["failed"] == [{"id": id_of(thrown), "code": "trashed"}]
    assert (await client.get(answer["job"])).status_code == 200
    answer = await act(client, "remove_from_album", [second, thrown], album_id="a/b")
    assert answer["done"] == [id_of(second)]
    assert answer["failed"] == [{"id": id_of(thrown), "code": "not_in_album"}]
    assert list(await album_images(client, "a%2Fb")) == [id_of(first)]


async def test_an_image_in_the_trash_cannot_be_posted_to_an_album(client: httpx.AsyncClient) -> None:
    kept, thrown = await pictures(client, 2)
    await act(client, "trash", [thrown])
    answer = await embed(client, "summer", [kept, id_of(thrown)])
    assert [(entry["image"], entry["code"]) for entry in answer["failed"]] == [(id_of(thrown), "not_found")]


async def test_many_images_are_deleted_at_once(idle_client: httpx.AsyncClient, settings: Settings) -> None:
    urls = await pictures(idle_client, 3)
    assert len((await act(idle_client, "delete", urls))["done"]) == 3
    assert (await listed(idle_client), stored_files(settings)) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        {"ids": [], "action": "trash"},
        {"ids": ["img_1"] * 501, "action": "trash"},
        {"ids": ["img_1"], "action": "burn"},
        {"ids": ["img_1"], "action": "add_to_album"},
        {"ids": ["img_1"], "action": "trash", "album_id": "summer"},
        {"ids": ["img_1"], "action": "trash", "tags": {"add": ["sea"]}},
        {"ids": ["img_1"], "action": "tag"},
        {"ids": ["img_1"], "action": "tag", "tags": {"add": [], "remove": []}},
        {"ids": ["img_1"], "action": "tag", "tags": {"add": ["sea"]}, "album_id": "summer"},
        {"ids": ["a\0"], "action": "trash"},
    ],
    ids=str,
)
async def test_an_action_that_means_nothing_is_422(idle_client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert_problem(await idle_client.post(f"{IMAGES}/batch", json=body), 422)


async def test_the_trash_is_listed_by_page(idle_client: httpx.AsyncClient) -> None:
    urls = await pictures(idle_client, 3)
    for url in urls:
        await act(idle_client, "trash", [url])
    first = (await idle_client.get("/api/v1/trash", params={"limit": 2})).json()
    rest = (await idle_client.get("/api/v1/trash", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["url"] for item in first["items"] + rest["items"]] == urls[::-1]
    assert_problem(await idle_client.get("/api/v1/trash", params={"cursor": "added::img_1"}), 422)


async def tags_of(client: httpx.AsyncClient, urls: list[str]) -> list[list[str]]:
    return [(await client.get(f"{IMAGES}/{id_of(url)}")).json()["tags"] for url in urls]


async def test_many_images_are_tagged_at_once_and_those_of_other_users_are_not_found(
    idle_client: httpx.AsyncClient,
) -> None:
    urls = await pictures(idle_client, 3)
    answer = await act(idle_client, "tag", [urls[0], "img_nothing", urls[1]], tags={"add": ["Sea", "trip"]})
    assert answer["done"] == [id_of(urls[0]), id_of(urls[1])]
    assert answer["failed"] == [{"id": "img_nothing", "code": "not_found"}]
    assert await tags_of(idle_client, urls) == [["sea", "trip"], ["sea", "trip"], []]
    await act(idle_client, "tag", urls, tags={"add": ["sun"], "remove": ["trip"]})
    assert await tags_of(idle_client, urls) == [["sea", "sun"], ["sea", "sun"], ["sun"]]


async def test_tagging_says_which_images_have_other_tags_than_before(
    idle_client: httpx.AsyncClient, services: Services
) -> None:
    told, guessed, bare = await pictures(idle_client, 3)
    await act(idle_client, "tag", [told], tags={"add": ["sea"]})
    async with services.database.transaction() as session:
        await image_tags.save_scores(session, {id_of(guessed): {"sea": 0.5}})
    urls = [bare, guessed, told]
    for change, changed in (({"add": ["sea"]}, [bare]), ({"remove": ["sun"]}, []), ({"remove": ["sea"]}, urls)):
        answer = await act(idle_client, "tag", urls, tags=change)
        assert answer["done"] == [id_of(url) for url in urls]
        assert answer["changed"] == [id_of(url) for url in changed], change
    answer = await act(idle_client, "tag", [bare, told], tags={"add": ["sun"], "remove": ["sea"]})
    assert answer["changed"] == [id_of(bare), id_of(told)]


async def test_an_image_that_would_have_too_many_tags_keeps_those_it_has_and_stops_no_other(
    idle_client: httpx.AsyncClient,
) -> None:
    full, free = await pictures(idle_client, 2)
    for part in range(2):
        await act(idle_client, "tag", [full], tags={"add": [f"t{part}-{n}" for n in range(100)]})
    answer = await act(idle_client, "tag", [full, free], tags={"add": ["sea"]})
    assert answer["done"] == [id_of(free)]
    assert answer["failed"] == [{"id": id_of(full), "code": "too_many_tags"}]
    assert [len(tags) for tags in await tags_of(idle_client, [full, free])] == [200, 1]
    again = await act(idle_client, "tag", [full], tags={"remove": ["t0-1"]})  # said of a tag that it has
    assert again["done"] == [id_of(full)]


async def test_tagging_many_images_changes_the_albums_that_hold_them_and_tells_who_follows(
    client: httpx.AsyncClient, services: Services
) -> None:
    urls = await pictures(client, 2)
    await embed(client, "summer", urls)
    async with services.database.transaction() as session:
        before = await session.scalar(text("SELECT version FROM albums"))
        seen = await session.scalar(text("SELECT max(id) FROM events WHERE kind = 'image'"))
    await act(client, "tag", urls, tags={"add": ["sea"]})
    async with services.database.transaction() as session:
        assert await session.scalar(text("SELECT version FROM albums")) == before + 1
        told = text("SELECT count(DISTINCT subject_id) FROM events WHERE kind = 'image' AND id > :seen")
        assert await session.scalar(told, {"seen": seen}) == 2
