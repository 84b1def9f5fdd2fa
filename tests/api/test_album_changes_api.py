"""Albums that are made, given titles, filled and emptied over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from serve_app.services.container import Services
from tests.api.conftest import assert_problem, embed
from tests.api.test_housekeeping import count
from tests.api.test_trash_api import act, album_images, id_of, pictures

ALBUMS = "/api/v1/albums"


async def make(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(ALBUMS, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_an_album_without_images_is_made_and_listed(idle_client: httpx.AsyncClient) -> None:
    made = await make(idle_client, album_id="trips/may", title="  Mai 🌊 <b> ")
    assert (made["album_id"], made["title"], made["image_count"]) == ("trips/may", "Mai 🌊 <b>", 0)
    assert (await idle_client.get(ALBUMS)).json()["items"] == [made]
    seen = (await idle_client.get(f"{ALBUMS}/trips%2Fmay")).json()
    assert made.items() <= seen.items()
    assert seen["images"] == []


async def test_an_album_without_a_name_is_known_by_our_id(idle_client: httpx.AsyncClient) -> None:
    made = await make(idle_client)
    assert made["album_id"] == made["id"]
    assert (await idle_client.get(f"{ALBUMS}/{made['id']}")).json()["title"] is None


@pytest.mark.parametrize("body", [{}, {"album_id": "summer"}])
async def test_images_that_are_sent_to_our_id_of_an_album_come_into_it(
    client: httpx.AsyncClient, body: dict[str, str]
) -> None:
    made = await make(client, **body)
    first, second = await pictures(client, 2)
    await embed(client, made["id"], [first])
    await act(client, "add_to_album", [second], album_id=made["id"])
    [album] = (await client.get(ALBUMS)).json()["items"]
    assert (album["id"], album["album_id"], album["image_count"]) == (made["id"], made["album_id"], 2)


async def test_no_album_is_given_a_name_like_our_ids(idle_client: httpx.AsyncClient) -> None:
    made = await make(idle_client)
    for name in (made["id"], "alb_mine"):
        assert_problem(await idle_client.post(ALBUMS, json={"album_id": name}), 422)


async def test_a_second_album_of_a_name_is_a_conflict(idle_client: httpx.AsyncClient) -> None:
    await make(idle_client, album_id="a", title="first")
    assert_problem(await idle_client.post(ALBUMS, json={"album_id": "a", "title": "second"}), 409, "conflict")
    assert (await idle_client.get(f"{ALBUMS}/a")).json()["title"] == "first"


async def test_a_repeated_making_of_an_album_gets_the_first_answer(idle_client: httpx.AsyncClient) -> None:
    body, headers = {"album_id": "a"}, {"Idempotency-Key": "k"}
    first, again = [await idle_client.post(ALBUMS, json=body, headers=headers) for _ in range(2)]
    assert (first.json(), again.status_code) == (again.json(), 201)


@pytest.mark.parametrize("title", ["", " ", "x" * 201, "a\nb", "x" * 2**19, 7])
async def test_a_bad_title_is_refused_and_changes_nothing(idle_client: httpx.AsyncClient, title: object) -> None:
    await make(idle_client, album_id="a", title="kept")
    assert_problem(await idle_client.patch(f"{ALBUMS}/a", json={"title": title}), 422)
    assert (await idle_client.get(f"{ALBUMS}/a")).json()["title"] == "kept"


async def test_an_album_of_a_name_is_found_by_our_id_too(client: httpx.AsyncClient) -> None:
    [first, second] = await pictures(client, 2)
    await embed(client, "a/b", [first])
    by_id = f"{ALBUMS}/{(await client.get(ALBUMS)).json()['items'][0]['id']}"
    assert (await client.post(f"{by_id}/images", json={"images": [second]})).status_code == 201
    assert (await client.patch(by_id, json={"title": "T"})).json()["album_id"] == "a/b"
    assert [one["image"] for one in (await client.get(f"{by_id}/images")).json()["items"]] == [first, second]


async def test_a_name_goes_before_an_id_that_is_spelt_alike(idle_client: httpx.AsyncClient, services: Services) -> None:
    other = (await make(idle_client, album_id="other"))["id"]
    named = await make(idle_client, album_id="of an older version")
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE albums SET name = :name WHERE id = :id"), {"name": other, "id": named["id"]})
    assert (await idle_client.get(f"{ALBUMS}/{other}")).json()["id"] == named["id"]


async def test_of_two_titles_for_one_state_one_is_refused(idle_client: httpx.AsyncClient) -> None:
    await make(idle_client, album_id="a")
    seen = (await idle_client.get(f"{ALBUMS}/a")).headers["etag"]
    first = await idle_client.patch(f"{ALBUMS}/a", json={"title": "first"}, headers={"If-Match": seen})
    assert first.json()["title"] == "first"
    second = await idle_client.patch(f"{ALBUMS}/a", json={"title": "second"}, headers={"If-Match": seen})
    assert_problem(second, 412, "changed-meanwhile")
    headers = {"If-Match": first.headers["etag"]}
    cleared = await idle_client.patch(f"{ALBUMS}/a", json={"title": None}, headers=headers)
    assert cleared.json()["title"] is None


async def test_a_new_title_leaves_results_as_they_are_and_is_told_as_an_event(
    client: httpx.AsyncClient, services: Services
) -> None:
    await embed(client, "a", await pictures(client, 1))
    await client.post(f"{ALBUMS}/quality", json={"album_id": "a"})
    jobs = (await client.get("/api/v1/jobs", params={"kind": "quality"})).json()["items"]
    changes = "events WHERE kind = 'album'"  # background jobs of the album may still end
    before = await count(services, changes)
    await client.patch(f"{ALBUMS}/a", json={"title": "T"})
    assert await count(services, changes) == before + 1
    await client.post(f"{ALBUMS}/quality", json={"album_id": "a"})
    assert (await client.get("/api/v1/jobs", params={"kind": "quality"})).json()["items"] == jobs


@pytest.mark.parametrize(
    ("include", "left"),
    [("", set()), ("jobs", {"jobs"}), ("images,results", {"images", "next_cursor", "results"})],
)
async def test_the_description_of_an_album_has_the_parts_that_are_asked_for(
    idle_client: httpx.AsyncClient, include: str, left: set[str]
) -> None:
    await make(idle_client, album_id="a")
    whole = (await idle_client.get(f"{ALBUMS}/a")).json()
    some = (await idle_client.get(f"{ALBUMS}/a", params={"include": include})).json()
    parts = {"images", "next_cursor", "jobs", "results"}
    assert some.keys() == (whole.keys() - parts) | left
    assert some.items() <= whole.items()


async def test_an_unknown_part_of_an_album_is_refused(idle_client: httpx.AsyncClient) -> None:
    await make(idle_client, album_id="a")
    assert_problem(await idle_client.get(f"{ALBUMS}/a", params={"include": "jobs,faces"}), 422)


async def test_images_are_added_to_an_album_that_is_there_only(client: httpx.AsyncClient) -> None:
    urls = await pictures(client, 2)
    assert_problem(await client.post(f"{ALBUMS}/a/images", json={"images": urls}), 404)
    await make(client, album_id="a")
    answer = await client.post(f"{ALBUMS}/a/images", json={"images": urls})
    assert (answer.status_code, answer.json()["embedded"]) == (201, 2)
    assert await album_images(client, "a") == dict.fromkeys(urls, "embedded")


async def test_images_are_taken_out_by_reference_or_id_and_stay_in_the_library(client: httpx.AsyncClient) -> None:
    first, second, third, never = await pictures(client, 4)
    await embed(client, "a", [first, second, third])
    gone = [first, id_of(second), never, "img_nothing", first]
    answer = await client.request("DELETE", f"{ALBUMS}/a/images", json={"images": gone})
    assert answer.json() == {
        "removed": [first, id_of(second)],
        "failed": [{"image": one, "code": "not_in_album"} for one in (never, "img_nothing")],
    }
    assert await album_images(client, "a") == {third: "embedded"}
    assert (await client.get(first)).status_code == 200
    again = (await client.request("DELETE", f"{ALBUMS}/a/images", json={"images": [first]})).json()
    assert [entry["code"] for entry in again["failed"]] == ["not_in_album"]


async def test_an_album_whose_id_ends_like_a_route_is_no_list_of_its_images(idle_client: httpx.AsyncClient) -> None:
    await make(idle_client, album_id="a/images")
    assert (await idle_client.get(f"{ALBUMS}/a%2Fimages")).json()["album_id"] == "a/images"
    assert (await idle_client.get(f"{ALBUMS}/a%2Fimages/images")).json()["items"] == []


async def test_what_lies_below_an_album_is_no_album_whose_title_changes(client: httpx.AsyncClient) -> None:
    for name in ("a", "a/search"):
        assert (await client.post("/api/v1/albums", json={"album_id": name})).status_code == 201
    assert (await client.patch("/api/v1/albums/a/search", json={"title": "x"})).status_code == 405
    changed = await client.patch("/api/v1/albums/a%2Fsearch", json={"title": "x"})
    assert (changed.status_code, changed.json()["title"]) == (200, "x")
