"""Changes of images, and images found by their bytes, over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from tests.api.conftest import assert_problem, embed, upload
from tests.api.test_library_api import IMAGES, listed, send
from tests.support.builders import a_flat_image, an_image, encoded

NAME = "👩‍🚀 <b>‮gpj.exe"


def path_of(url: str) -> str:
    return f"{IMAGES}/{url.rsplit('/', 1)[1].split('.')[0]}"


async def change(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.patch(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == (await client.get(path)).json()
    return dict(answer.json())


async def test_a_change_sets_what_it_names_and_leaves_the_rest(idle_client: httpx.AsyncClient) -> None:
    path = path_of(await send(idle_client, "a.png", encoded(an_image(), "PNG")))
    before = (await idle_client.get(path)).json()
    assert await change(idle_client, path, filename=NAME) == before | {"filename": NAME}
    changed = await change(idle_client, path, taken_at="2001-02-03T04:05:06+05:30")
    assert (changed["filename"], changed["taken_at"]) == (NAME, "2001-02-03T04:05:06+05:30")
    assert (await change(idle_client, path, taken_at="2001-02-03T04:05:06"))["taken_at"] == "2001-02-03T04:05:06"
    assert (await change(idle_client, path, taken_at=None))["taken_at"] is None
    assert (await change(idle_client, path))["filename"] == NAME


async def test_tags_of_the_user_win_over_the_models_now_and_later(client: httpx.AsyncClient) -> None:
    url = await send(client, "red.png", encoded(a_flat_image(colour=(220, 10, 10)), "PNG"))
    await embed(client, "summer", [url])
    asked = {"album_id": "summer"}
    assert "red" in (await client.post("/api/v1/albums/tags", json=asked)).json()["tags"]
    changed = await change(client, path_of(url), tags={"add": [" Holiday "], "remove": ["red"]})
    assert changed["tags"][0] == "holiday"
    assert "red" not in changed["tags"]
    for _ in range(2):
        tags = (await client.post("/api/v1/albums/tags", json=asked)).json()["tags"]
        assert tags["holiday"] == [url]
        assert "red" not in tags
        another = await send(client, "blue.png", encoded(a_flat_image(colour=(10, 10, 220)), "PNG"))
        await embed(client, "summer", [another])
    assert [item["filename"] for item in await listed(client, tag="HOLIDAY")] == ["red.png"]
    assert await listed(client, tag="red", album_id="summer") == []
    assert (await change(client, path_of(url), tags={"add": ["red"]}))["tags"][:2] == ["holiday", "red"]


@pytest.mark.parametrize(
    "body",
    [
        {"filename": ""},
        {"filename": "a\nb"},
        {"filename": "x" * 2**19},
        {"taken_at": "soon"},
        {"taken_at": "0001-01-01T00:00:00+14:00"},
        {"tags": {"add": ["a"], "remove": ["A"]}},
        {"tags": {"add": ["\0"]}},
        {"tags": {"add": ["x" * 101]}},
        {"tags": {"add": [str(number) for number in range(101)]}},
        {"tags": ["a"]},
        {"sha256": "0" * 64},
    ],
    ids=str,
)
async def test_a_change_that_means_nothing_is_422_and_changes_nothing(
    idle_client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    before = (await idle_client.get(path_of(url))).json()
    assert_problem(await idle_client.patch(path_of(url), json=body), 422)
    assert (await idle_client.get(path_of(url))).json() == before


async def test_more_tags_than_an_image_may_have_are_422(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    for start in (0, 100):
        tags = [str(number) for number in range(start, start + 100)]
        await change(idle_client, path_of(url), tags={"add": tags})
    assert_problem(await idle_client.patch(path_of(url), json={"tags": {"add": ["one more"]}}), 422)
    assert len((await idle_client.get(path_of(url))).json()["tags"]) == 200


async def test_a_change_of_another_state_is_412_and_changes_nothing(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    before = (await idle_client.get(path_of(url))).json()
    answer = await idle_client.patch(path_of(url), json={"filename": "z"}, headers={"If-Match": '"other"'})
    assert_problem(answer, 412, "changed-meanwhile")
    assert (await idle_client.get(path_of(url))).json() == before


async def test_of_two_changes_of_the_same_state_at_once_one_is_412(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    match = {"If-Match": (await idle_client.get(path_of(url))).headers["etag"]}
    answers = await asyncio.gather(
        *(idle_client.patch(path_of(url), json={"filename": f"new {n}.png"}, headers=match) for n in range(2))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    lost = next(answer for answer in answers if answer.status_code == 412)
    assert_problem(lost, 412, "changed-meanwhile")
    won = next(answer for answer in answers if answer.status_code == 200)
    again = {"If-Match": won.headers["etag"]}
    assert (await idle_client.patch(path_of(url), json={"filename": "z.png"}, headers=again)).status_code == 200


async def test_an_image_is_found_by_its_bytes_whatever_the_case_of_the_digits(
    idle_client: httpx.AsyncClient,
) -> None:
    data = encoded(an_image(), "PNG")
    digest = hashlib.sha256(data).hexdigest()
    assert_problem(await idle_client.get(f"{IMAGES}/by-sha256/{digest}"), 404, "not-found")
    await upload(idle_client, data)
    [latest] = await upload(idle_client, data)
    for spelled in (digest, digest.upper()):
        found = await idle_client.get(f"{IMAGES}/by-sha256/{spelled}")
        assert found.json()["url"] == latest
        head = await idle_client.head(f"{IMAGES}/by-sha256/{spelled}")
        assert (head.status_code, head.content) == (200, b"")
    assert_problem(await idle_client.get(f"{IMAGES}/by-sha256/{digest[1:]}"), 422)


async def test_an_image_that_is_not_there_cannot_be_changed(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.patch(f"{IMAGES}/img_nothing", json={"filename": "a"}), 404, "not-found")
