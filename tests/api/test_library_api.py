"""Lists of a user's images over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from sqlalchemy import text

from serve_app.services.albums.library import ImageLibrary
from serve_app.services.container import Services
from serve_app.store.repositories.library import Filters, Sort
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database
from tests.api.conftest import assert_problem, embed, upload
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.fakes import with_face
from tests.support.rows import an_image as an_image_row

IMAGES = "/api/v1/images"


async def listed(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(IMAGES, params=query | cursor)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json()["next_cursor"]}


async def send(client: httpx.AsyncClient, name: str, data: bytes) -> str:
    answer = await client.post(IMAGES, files={"file": (name, data)})
    return str(answer.json()["images"][0]["url"])


def taken(year: int) -> bytes:
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769).update({36867: f"{year}:06:01 12:00:00"})
    return encoded(an_image(seed=year), exif=exif)


async def test_images_are_listed_the_latest_upload_first(idle_client: httpx.AsyncClient) -> None:
    for name in ("a.png", "b.png", "c.png"):
        await send(idle_client, name, encoded(an_image(seed=ord(name[0])), "PNG"))
    items = await listed(idle_client, limit=2)
    assert [item["filename"] for item in items] == ["c.png", "b.png", "a.png"]
    detail = (await idle_client.get(f"{IMAGES}/{items[0]['id']}")).json()
    assert all(items[0][name] == detail[name] for name in ("url", "sha256", "bytes", "created_at", "thumbnails"))
    assert (await idle_client.get(items[0]["thumbnails"]["256"])).status_code == 200


async def test_images_are_sorted_and_found_by_the_time_at_which_they_were_taken(
    idle_client: httpx.AsyncClient,
) -> None:
    for year in (2003, 2001, 2002):
        await send(idle_client, f"{year}.jpg", taken(year))
    await send(idle_client, "now.png", encoded(an_image(), "PNG"))
    by_time = await listed(idle_client, sort="taken", limit=1)
    assert [item["filename"] for item in by_time] == ["now.png", "2003.jpg", "2002.jpg", "2001.jpg"]
    some = await listed(idle_client, taken_from="2002-01-01", taken_to="2003-06-01T12:00:00Z")
    assert [item["filename"] for item in some] == ["2002.jpg"]


async def test_images_are_found_by_album_tag_person_and_quality(client: httpx.AsyncClient) -> None:
    red = await send(client, "red.png", encoded(with_face(a_flat_image(colour=(220, 10, 10)), person=56), "PNG"))
    blue = await send(client, "blue.png", encoded(a_flat_image(colour=(10, 10, 220)), "PNG"))
    await send(client, "alone.png", encoded(an_image(seed=7), "PNG"))
    await embed(client, "a/b", [red, blue])
    assert (await client.post("/api/v1/albums/tags", json={"album_id": "a/b"})).status_code == 200
    people = await client.post("/api/v1/albums/clusters?detail=true", json={"album_id": "a/b"})
    [person] = people.json()["people"]
    for query, names in (
        ({"album_id": "a/b"}, ["blue.png", "red.png"]),
        ({"tag": "Red"}, ["red.png"]),
        ({"tag": "blue", "album_id": "a/b"}, ["blue.png"]),
        ({"person_id": person["id"]}, ["red.png"]),
        ({"tag": "nothing"}, []),
    ):
        assert [item["filename"] for item in await listed(client, **query)] == names, query
    [item] = await listed(client, tag="red")
    assert "red" in item["tags"]
    judged = await listed(client, album_id="a/b", sort="quality")
    scores = [item["quality"]["score"] for item in judged]
    assert scores == sorted(scores, reverse=True)
    least = max(scores)
    assert all(item["quality"]["score"] >= least for item in await listed(client, min_quality=least))
    issue = judged[-1]["quality"]["issues"][0]
    assert all(issue in item["quality"]["issues"] for item in await listed(client, issue=issue))


async def test_a_list_has_the_fields_that_were_asked_for_and_no_others(idle_client: httpx.AsyncClient) -> None:
    await upload(idle_client, encoded(an_image(), "PNG"))
    [item] = await listed(idle_client, fields="id,thumbnails")
    assert item.keys() == {"id", "thumbnails"}


@pytest.mark.parametrize(
    "query",
    [
        "tags=dog",
        "fields=id,secret",
        "sort=size",
        "limit=0",
        "limit=501",
        "min_quality=2",
        "min_quality=nan",
        "taken_from=yesterday",
        "taken_from=0001-01-01T00:00:00%2B14:00",
        "cursor=x",
        "cursor=taken:1:img_1",
        "cursor=added::img_1%00",
        "sort=taken&cursor=taken:1e400:img_1",
        "sort=taken&cursor=taken:99999999999999999999:img_1",
        "sort=quality&cursor=quality:x:img_1",
        "person_id=bob",
        "tag=%00",
    ],
)
async def test_a_query_that_means_nothing_is_422(idle_client: httpx.AsyncClient, query: str) -> None:
    assert_problem(await idle_client.get(f"{IMAGES}?{query}"), 422)


@pytest.mark.parametrize("query", ["album_id=nowhere", "person_id=per_nobody"])
async def test_a_list_of_what_is_not_there_is_404(idle_client: httpx.AsyncClient, query: str) -> None:
    assert_problem(await idle_client.get(f"{IMAGES}?{query}"), 404, "not-found")


async def test_a_cursor_of_yesterday_goes_on_where_it_stood(idle_client: httpx.AsyncClient) -> None:
    for name in ("a.png", "b.png", "c.png"):
        await send(idle_client, name, encoded(an_image(seed=ord(name[0])), "PNG"))
    first = (await idle_client.get(IMAGES, params={"limit": 2})).json()
    await idle_client.delete(f"{IMAGES}/{first['items'][1]['id']}")
    await send(idle_client, "d.png", encoded(an_image(seed=9), "PNG"))
    following = (await idle_client.get(IMAGES, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["filename"] for item in following["items"]] == ["a.png"]


async def test_temporary_images_are_not_listed(idle_client: httpx.AsyncClient, services: Services) -> None:
    await upload(idle_client, encoded(an_image(), "PNG"))
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE images SET temporary = true"))
    assert await listed(idle_client) == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=9),
    limit=st.integers(1, 4),
    sort=st.sampled_from(["taken", "added", "quality"]),
)
async def test_pages_hold_every_image_once_and_in_order(
    database: Database, times: list[int | None], limit: int, sort: Sort
) -> None:
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM images"))
        for place, hours in enumerate(times):
            added = await an_image_row(session, str(place))
            moment = None if hours is None else datetime(2001, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
            await session.execute(
                text("UPDATE images SET taken_at = :at, quality = :quality WHERE id = :id"),
                {"at": moment, "quality": None if hours is None else hours / 4, "id": added.id},
            )
    pages = []
    cursor: str | None = None
    while True:
        page, cursor = await ImageLibrary(database).list_images(LOCAL_USER_ID, Filters(), sort, limit, cursor)
        pages += page
        if cursor is None:
            break
    names = [one.view.filename for one in pages]
    assert sorted(map(str, names)) == sorted(f"{place}.jpg" for place in range(len(times)))
    if sort == "taken":
        moments = [one.view.taken_at or one.view.created_at.replace(tzinfo=None) for one in pages]
        assert moments == sorted(moments, reverse=True)


@pytest.mark.parametrize("time", ["0.5", "1772366400", "-1", "1e3", "", "soon", "0001-01-01"])
async def test_a_time_that_is_none_is_refused(idle_client: httpx.AsyncClient, time: str) -> None:
    assert_problem(await idle_client.get("/api/v1/images", params={"taken_to": time}), 422)
