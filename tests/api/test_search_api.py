"""Search of the whole library over HTTP, and suggestions for its box."""

from __future__ import annotations

import threading
import tracemalloc
import zlib
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from configs.settings import Settings
from deployments.algorithms.texts.words import comparable
from serve_app.services.albums import library_search
from serve_app.services.albums.library_search import _judge
from serve_app.services.container import Services
from serve_app.store.repositories import texts
from serve_app.store.repositories.texts import StoredTexts
from tests.api.conftest import assert_problem, embed
from tests.api.test_library_api import send
from tests.api.test_trash_api import act, id_of
from tests.support.accounts import Account, with_keys
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.people import PEOPLE, fill_album, people

SEARCH, SUGGEST = "/api/v1/search", "/api/v1/suggest"
RED, GREEN, BLUE = (250, 10, 10), (10, 250, 10), (10, 10, 250)


async def a_flat(client: httpx.AsyncClient, name: str, colour: tuple[int, int, int]) -> str:
    return await send(client, name, encoded(a_flat_image(colour=colour), "PNG"))


async def found(client: httpx.AsyncClient, q: str, **query: Any) -> dict[str, list[str]]:
    """What a search finds, page by page: file name -> why."""
    matched: dict[str, list[str]] = {}
    scores: list[float] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(SEARCH, params={"q": q, **query} | cursor)
        assert answer.status_code == 200, answer.text
        for item in answer.json()["items"]:
            assert item["filename"] not in matched
            matched[item["filename"]] = item["matched"]
            scores.append(item["score"])
        if answer.json()["next_cursor"] is None:
            assert scores == sorted(scores, reverse=True)
            return matched
        cursor = {"cursor": answer.json()["next_cursor"]}


async def tag(client: httpx.AsyncClient, url: str, **tags: list[str]) -> None:
    assert (await client.patch(f"/api/v1/images/{id_of(url)}", json={"tags": tags})).status_code == 200


@pytest_asyncio.fixture()
async def library(client: httpx.AsyncClient) -> dict[str, str]:
    """A red image in one album, a green and a blue one in another. -> urls by name"""
    urls = {
        name: await a_flat(client, name, colour)
        for name, colour in (("r.png", RED), ("Garden green.png", GREEN), ("b.png", BLUE))
    }
    await embed(client, "first", [urls["r.png"]])
    await embed(client, "second", [urls["Garden green.png"], urls["b.png"]])
    for album in ("first", "second"):
        await client.post("/api/v1/albums/tags", json={"album_id": album})
    return urls


async def test_images_of_all_albums_are_found_by_what_they_show(
    client: httpx.AsyncClient, library: dict[str, str]
) -> None:
    assert await found(client, "red") == {"r.png": ["tag:red", "shows:red"]}
    assert await found(client, "blue") == {"b.png": ["tag:blue", "shows:blue"]}


async def test_images_are_found_by_the_names_of_their_files(client: httpx.AsyncClient, library: dict[str, str]) -> None:
    assert await found(client, "GARDEN") == {"Garden green.png": ["name:Garden green.png"]}


async def test_a_tag_of_the_users_own_wins_over_what_the_model_sees(
    client: httpx.AsyncClient, library: dict[str, str]
) -> None:
    await tag(client, library["b.png"], add=["red"])
    await tag(client, library["r.png"], remove=["red"])
    assert await found(client, "red") == {"b.png": ["tag:red"]}


async def test_excluded_words_are_tags_and_what_is_seen(client: httpx.AsyncClient, library: dict[str, str]) -> None:
    await tag(client, library["b.png"], add=["holiday"])
    assert set(await found(client, "-red")) == {"Garden green.png", "b.png"}
    assert await found(client, "blue -holiday") == {}
    assert set(await found(client, "-red -holiday")) <= {"Garden green.png"}


async def test_what_was_never_looked_at_shows_nothing_that_is_excluded(
    client: httpx.AsyncClient, library: dict[str, str]
) -> None:
    await a_flat(client, "Garden new.png", RED)
    assert set(await found(client, "garden -red")) == {"Garden green.png", "Garden new.png"}
    assert set(await found(client, "garden -green")) == {"Garden new.png"}


async def test_an_image_whose_tag_the_user_took_away_is_not_excluded_by_it(
    client: httpx.AsyncClient, library: dict[str, str]
) -> None:
    await tag(client, library["r.png"], remove=["red"])
    assert set(await found(client, "-red")) == set(library)


@pytest.mark.parametrize(("own", "asked"), [("カメラ", "カメラ"), ("Straße", "straße"), ("Straße", "STRAßE")])
async def test_a_tag_of_the_users_own_is_found_and_suggested_as_it_was_written(
    client: httpx.AsyncClient, own: str, asked: str
) -> None:
    url = await a_flat(client, "r.png", RED)
    await tag(client, url, add=[own])
    assert await found(client, asked) == {"r.png": [f"tag:{own.lower()}"]}
    assert await found(client, f"r -{asked}") == {}
    suggested = (await client.get(SUGGEST, params={"q": asked[:-1]})).json()["items"]
    assert [item["value"] for item in suggested] == [own.lower()]


async def test_names_are_compared_in_a_thread_not_in_the_event_loop(
    client: httpx.AsyncClient, library: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = []

    def judge(*given: Any) -> Any:
        places.append(threading.get_ident())
        return _judge(*given)

    monkeypatch.setattr(library_search, "_judge", judge)
    assert set(await found(client, "red")) == {"r.png"}
    assert threading.get_ident() not in places
    assert len(places) == 1


async def test_words_that_nobody_knows_find_nothing(client: httpx.AsyncClient, library: dict[str, str]) -> None:
    assert await found(client, "xyzzy") == {}
    assert await found(client, "<b>\u202e😀") == {}


@pytest.mark.parametrize(
    ("query", "names"),
    [({"album_id": "first"}, set()), ({"album_id": "second"}, {"b.png"}), ({"tag": "red"}, set())],
)
async def test_a_search_is_among_what_the_filters_let_pass(
    client: httpx.AsyncClient, library: dict[str, str], query: dict[str, str], names: set[str]
) -> None:
    assert set(await found(client, "blue", **query)) == names


async def test_pages_of_a_search_hold_each_image_once(client: httpx.AsyncClient) -> None:
    urls = [await a_flat(client, f"{place}.png", (250, place % 3, place // 2)) for place in range(7)]
    await embed(client, "a", urls)
    assert len(await found(client, "red", limit=2)) == 7


async def test_trash_and_images_of_no_album_without_a_fitting_tag_or_name_are_not_found(
    client: httpx.AsyncClient, library: dict[str, str]
) -> None:
    await act(client, "trash", [library["r.png"]])
    await a_flat(client, "never embedded.png", (251, 10, 10))
    assert await found(client, "red") == {}
    assert set(await found(client, "never embedded")) == {"never embedded.png"}


@pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "  "}, {"q": "x" * 201}, {"q": "red", "cursor": "yesterday"}])
async def test_a_search_that_cannot_be_understood_is_refused(
    idle_client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    assert_problem(await idle_client.get(SEARCH, params=query), 422)


async def test_an_album_that_is_not_there_is_not_searched(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.get(SEARCH, params={"q": "red", "album_id": "nowhere"}), 404)


async def test_tags_and_albums_are_suggested_by_the_beginning_of_their_words(
    client: httpx.AsyncClient, library: dict[str, str]
) -> None:
    await tag(client, library["b.png"], add=["old 100%_house", "Houseboat"])
    await tag(client, library["r.png"], add=["houseboat"])
    await client.post("/api/v1/albums", json={"album_id": "x", "title": "Our House"})

    async def suggested(q: str) -> list[tuple[str, str, int]]:
        items = (await client.get(SUGGEST, params={"q": q})).json()["items"]
        return [(item["kind"], item["value"], item["count"]) for item in items]

    assert await suggested("house") == [("tag", "houseboat", 2), ("album", "x", 0)]
    assert await suggested("100%_h") == [("tag", "old 100%_house", 1)]
    assert await suggested("%") == []
    assert ("album", "second", 2) in await suggested("SECO")


async def test_tags_are_suggested_by_words_of_languages_with_other_letters(
    client: httpx.AsyncClient, library: dict[str, str]
) -> None:
    await tag(client, library["b.png"], add=["cat"])

    async def suggested(q: str) -> list[str]:
        return [item["value"] for item in (await client.get(SUGGEST, params={"q": q})).json()["items"]]

    for start in ("고양", "猫", "cat"):
        assert await suggested(start) == ["cat"]
    assert await suggested("katz") == []


@pytest_asyncio.fixture()
async def named(client: httpx.AsyncClient) -> dict[str, str]:
    """Anna Kim alone, with 민지, and 민지 alone, who have these names, and somebody without one. -> ids by name"""
    await fill_album(client, "a", (1,), (1, 2), (2,), (3,))
    seen: dict[str, set[str]] = {}
    for person in await people(client):
        shown = await client.get("/api/v1/images", params={"person_id": person["id"]})
        seen[person["id"]] = {image["filename"] for image in shown.json()["items"]}
    ids = {}
    for name, images in (("Anna Kim", {"0.png", "1.png"}), ("민지", {"1.png", "2.png"})):
        [ids[name]] = [person for person, its in seen.items() if its == images]
        assert (await client.patch(f"{PEOPLE}/{ids[name]}", json={"name": name})).status_code == 200
    return ids


@pytest.mark.parametrize(
    ("query", "images"),
    [
        ("Anna Kim", {"0.png", "1.png"}),
        ("anna", {"0.png", "1.png"}),
        ("kim at a party", set()),
        ("anna kim at a party", {"0.png", "1.png"}),
        ("nna", set()),
        ("anna kimono", set()),
        ("민지와 바다", {"1.png", "2.png"}),
        ("anna -민지", {"0.png"}),
    ],
)
async def test_people_are_found_by_their_names(
    client: httpx.AsyncClient, named: dict[str, str], query: str, images: set[str]
) -> None:
    matched = await found(client, query)
    assert {image for image, why in matched.items() if any(one.startswith("person:") for one in why)} == images


async def test_an_image_of_all_who_are_asked_for_comes_before_those_of_one(
    client: httpx.AsyncClient, named: dict[str, str]
) -> None:
    matched = await found(client, "Anna Kim, 민지")
    assert next(iter(matched)) == "1.png"
    assert set(matched["1.png"]) >= {"person:Anna Kim", "person:민지"}


async def test_all_people_of_one_name_are_found(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    assert (await client.patch(f"{PEOPLE}/{named['민지']}", json={"name": "Anna Kim"})).status_code == 200
    answer = (await client.get(SEARCH, params={"q": "anna kim"})).json()["items"]
    scores = {item["filename"]: item["score"] for item in answer if "person:Anna Kim" in item["matched"]}
    assert scores == {"0.png": 1, "1.png": 1, "2.png": 1}


async def test_who_is_hidden_is_neither_found_nor_suggested(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    async def suggested() -> list[dict[str, Any]]:
        items = (await client.get(SUGGEST, params={"q": "kim"})).json()["items"]
        return [item for item in items if item["kind"] == "person"]

    assert await suggested() == [{"kind": "person", "value": named["Anna Kim"], "title": "Anna Kim", "count": 2}]
    await client.patch(f"{PEOPLE}/{named['Anna Kim']}", json={"hidden": True})
    assert await suggested() == []
    assert "person:Anna Kim" not in str(await found(client, "anna"))


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_nobody_finds_or_is_suggested_what_is_anothers(self, eva: Account, bob: Account) -> None:
        url = await a_flat(eva.client, "garden.png", RED)
        await tag(eva.client, url, add=["houseboat"])
        await eva.client.post("/api/v1/albums", json={"album_id": "house"})
        assert set(await found(eva.client, "houseboat")) == {"garden.png"}
        for q in ("houseboat", "garden"):
            assert await found(bob.client, q) == {}
        assert (await bob.client.get(SUGGEST, params={"q": "house"})).json()["items"] == []


async def write(client: httpx.AsyncClient, services: Services, name: str, page: str) -> str:
    """Upload an image in which a page of text was read. -> its url"""
    url = await send(client, name, encoded(an_image(seed=zlib.crc32(name.encode())), "PNG"))
    sha = (await client.get(f"/api/v1/images/{id_of(url)}")).json()["sha256"]
    async with services.database.transaction() as session:
        await texts.save(session, "test", {sha: StoredTexts(64, (), page, comparable(page))})
    return url


async def test_images_are_found_by_what_is_written_in_them_with_the_line_that_says_it(
    client: httpx.AsyncClient, services: Services
) -> None:
    await write(client, services, "1.png", "Departures\nBerlin\t10:40\nGate\tB 22")
    await write(client, services, "2.png", "Berlin is far from the gate")
    await write(client, services, "3.png", "")
    await write(client, services, "4.png", "Dubliner Gates")
    assert await found(client, "berlin gate") == {
        "1.png": ["text:Berlin 10:40"],
        "2.png": ["text:Berlin is far from the gate"],
    }
    assert list(await found(client, "Gate B 22")) == ["1.png"]
    assert await found(client, "lin") == {}


async def test_a_search_that_finds_every_page_holds_few_of_them_at_once(
    client: httpx.AsyncClient, services: Services
) -> None:
    """Four hundred of 100 kB."""
    await write(client, services, "1.png", "a page")
    async with services.database.transaction() as session:
        for table, changed in (
            ("contents", "'sha256', lpad(CAST(n AS text), 64, '0'), 'key', 'k' || n"),
            ("images", "'sha256', lpad(CAST(n AS text), 64, '0'), 'id', 'img_' || n"),
            (
                "picture_texts",
                "'sha256', lpad(CAST(n AS text), 64, '0'), 'page', repeat('word ', 20000),"
                " 'words', repeat('word ', 20000)",
            ),
        ):
            copies = f"""
                INSERT INTO {table} SELECT (jsonb_populate_record({table}, jsonb_build_object({changed}))).*
                FROM {table}, generate_series(1, 400) AS n
            """
            await session.execute(text(copies))
    tracemalloc.start()
    try:
        answer = await client.get(SEARCH, params={"q": "w", "limit": 5})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [item["matched"] for item in answer.json()["items"]] == [["text:" + ("word " * 16).strip() + "…"]] * 5
    assert most < 50 * 2**20


@pytest.mark.parametrize(
    ("page", "asked"),
    [("本日の営業時間は九時からです", "時間"), ("서울특별시청 앞에서", "시청"), ("東京\nタワー", "京タワ")],
)
async def test_parts_of_words_are_found_in_scripts_without_spaces(
    client: httpx.AsyncClient, services: Services, page: str, asked: str
) -> None:
    await write(client, services, "sign.png", page)
    await write(client, services, "other.png", "Nothing of it")
    assert list(await found(client, asked)) == ["sign.png"]


@pytest.mark.parametrize("asked", ["100%", "a_b", "50\\50", "!", "'"])
async def test_signs_that_databases_read_as_patterns_are_looked_for_as_they_are(
    client: httpx.AsyncClient, services: Services, asked: str
) -> None:
    await write(client, services, "hit.png", f"It says {asked} here")
    await write(client, services, "miss.png", "It says 1009 aXb 50/50")
    assert list(await found(client, asked)) == ["hit.png"]


async def test_what_is_written_in_the_trash_is_not_found(client: httpx.AsyncClient, services: Services) -> None:
    url = await write(client, services, "gone.png", "Departures")
    assert list(await found(client, "departures")) == ["gone.png"]
    await act(client, "trash", [url])
    assert await found(client, "departures") == {}
