"""Large albums over HTTP: pages, counts and links in place of one answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Settings
from serve_app.cli.main import main
from serve_app.services.albums.results import AnalysisResult
from serve_app.services.albums.stored_results import load_whole
from serve_app.services.container import Services
from serve_app.store.repositories import albums, results
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, embed, upload
from tests.support.builders import a_flat_image, encoded
from tests.support.fakes import with_face

ALBUM = "/api/v1/albums/trip%2Fmay"
LISTS = ("images", "tags", "duplicates", "people", "faces", "quality", "texts", "failed?kind=tags")
ROUTES = {"tags": "tags", "duplicates": "duplicates", "people": "clusters", "quality": "quality", "texts": "texts"}
"""Kind of analysis -> the last part of its route."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"limits": settings.limits.model_copy(update={"max_whole_album": 5})})


async def all_pages(client: httpx.AsyncClient, path: str, limit: int = 2) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    joint = "&" if "?" in path else "?"
    cursor = ""
    while True:
        response = await client.get(f"{path}{joint}limit={limit}{cursor}")
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"


@pytest.fixture
async def large(client: httpx.AsyncClient) -> list[str]:
    """References of an album of seven images with two people and a pair of copies, and one that is unusable."""
    red, green = a_flat_image((96, 64), colour=(220, 10, 10)), a_flat_image((96, 64), colour=(10, 220, 10))
    shown = [
        with_face(red, person=56, at=(8, 4)),
        with_face(green, person=56, at=(40, 4)),
        with_face(with_face(red, person=56), person=130, at=(40, 30)),
        with_face(green, person=130, at=(60, 30)),
        red,
    ]
    refs = await upload(client, *(encoded(image, "PNG") for image in shown), encoded(red, "BMP"))
    await embed(client, "trip/may", [*refs, "http://10.0.0.7/private.jpg"])
    return [*refs, "http://10.0.0.7/private.jpg"]


async def asked(client: httpx.AsyncClient, kind: str, **parameters: object) -> dict[str, Any]:
    response = await client.post(f"/api/v1/albums/{ROUTES[kind]}", json={"album_id": "trip/may", **parameters})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def whole_result(services: Services, kind: str) -> AnalysisResult:
    async with services.database.transaction() as session:
        album = await albums.find(session, LOCAL_USER_ID, "trip/may")
        assert album is not None
        return await load_whole(session, (await results.load_latest(session, album.id))[kind])


async def test_a_large_album_is_described_by_counts_a_first_page_and_links(
    client: httpx.AsyncClient, large: list[str]
) -> None:
    for kind in ROUTES:
        await asked(client, kind)
    album = (await client.get(ALBUM)).json()
    assert (album["album_id"], album["image_count"]) == ("trip/may", 7)
    assert album["counts"] == {"pending": 0, "embedded": 6, "failed": 1}
    assert [album["results"][name] for name in ("tags", "duplicates", "people_clusters")] == [None] * 3
    assert album["results"]["pages"].keys() == ROUTES.keys()
    assert [entry["image"] for entry in album["images"]] == large
    for found in album["results"]["pages"].values():
        for section, link in found["pages"].items():
            assert len(await all_pages(client, link)) == found["counts"][section]


async def test_the_first_page_of_an_album_leads_to_the_others(idle_client: httpx.AsyncClient) -> None:
    refs = [f"https://example.org/{number}.jpg" for number in range(120)]
    for start in range(0, 120, 20):
        body = {"images": refs[start : start + 20], "album_id": "trip/may"}
        await idle_client.post("/api/v1/albums/embeddings", json=body, headers={"Prefer": "respond-async"})
    album = (await idle_client.get(ALBUM)).json()
    assert [entry["image"] for entry in album["images"]] == refs[:100]
    rest = (await idle_client.get(f"{ALBUM}/images", params={"cursor": album["next_cursor"]})).json()
    assert [entry["image"] for entry in rest["items"]] == refs[100:]
    assert rest["next_cursor"] is None
    assert [entry["image"] for entry in await all_pages(idle_client, f"{ALBUM}/images", 33)] == refs


async def test_a_small_album_is_answered_whole_and_by_page(client: httpx.AsyncClient) -> None:
    refs = await upload(client, *(encoded(a_flat_image(colour=colour), "PNG") for colour in ((220, 9, 9), (9, 220, 9))))
    await embed(client, "small", refs)
    tags = (await client.post("/api/v1/albums/tags", json={"album_id": "small"})).json()["tags"]
    album = (await client.get("/api/v1/albums/small")).json()
    assert (album["next_cursor"], album["results"]["tags"]) == (None, tags)
    assert "pages" not in album["results"]
    paged = await all_pages(client, "/api/v1/albums/small/tags", 1)
    assert {entry["image"]: list(entry["tags"]) for entry in paged} == {refs[0]: ["red"], refs[1]: ["green"]}


@pytest.mark.parametrize("kind", ROUTES)
async def test_the_pages_of_a_result_hold_all_that_was_found(
    client: httpx.AsyncClient, services: Services, large: list[str], kind: str
) -> None:
    pages = (await asked(client, kind))["pages"]
    found = {section: await all_pages(client, link) for section, link in pages.items()}
    whole = (await whole_result(services, kind)).model_dump(mode="json")
    assert found["failed"] == whole["failed"]
    if kind == "tags":
        assert {entry["image"]: entry["tags"] for entry in found["tags"]} == whole["scores"]
    elif kind in ("quality", "texts"):
        assert sorted(found[kind], key=lambda entry: entry["image"]) == whole[kind]
    elif kind == "duplicates":
        assert found["duplicates"]
        assert [[one["image"] for one in group["members"]] for group in found["duplicates"]] == [
            *whole["duplicates"].values()
        ]
    else:
        assert [person["image_count"] for person in found["people"]] == [3, 2]
        faces = {(face["person"], face["image"], tuple(face["bbox"])) for face in found["faces"]}
        assert faces == {
            (person["id"], face["image"], tuple(face["bbox"])) for person in whole["people"] for face in person["faces"]
        }


async def test_the_faces_of_one_person_are_a_list(client: httpx.AsyncClient, large: list[str]) -> None:
    await asked(client, "people")
    for person in await all_pages(client, f"{ALBUM}/people"):
        faces = await all_pages(client, f"{ALBUM}/faces?person={person['id']}", 1)
        assert {face["person"] for face in faces} == {person["id"]}
        assert len(faces) == person["face_count"]


async def test_a_link_names_the_result_of_its_parameters(client: httpx.AsyncClient, large: list[str]) -> None:
    all_people = await asked(client, "people")
    frequent = await asked(client, "people", min_images=3)
    assert len(await all_pages(client, all_people["pages"]["people"])) == 2
    assert len(await all_pages(client, frequent["pages"]["people"])) == 1


async def test_a_job_on_a_large_album_ends_with_links(client: httpx.AsyncClient, large: list[str]) -> None:
    later = {"Prefer": "respond-async"}
    job = await client.post("/api/v1/albums/quality", json={"album_id": "trip/may"}, headers=later)
    await client.get(f"{job.headers['location']}/events")
    result = (await client.get(job.headers["location"])).json()["result"]
    assert result == await asked(client, "quality")
    assert result["pages"]["quality"].startswith(f"{ALBUM}/quality?")


async def test_a_repeated_request_gets_the_same_links(client: httpx.AsyncClient, large: list[str]) -> None:
    body, key = {"album_id": "trip/may"}, {"Idempotency-Key": "k"}
    first, again = [await client.post("/api/v1/albums/tags", json=body, headers=key) for _ in range(2)]
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert "pages" in first.json()


@pytest.mark.parametrize("kind", ROUTES)
async def test_a_result_of_an_earlier_version_is_read_by_page(
    client: httpx.AsyncClient, services: Services, large: list[str], kind: str
) -> None:
    expected = {
        section: await all_pages(client, link) for section, link in (await asked(client, kind))["pages"].items()
    }
    payload = (await whole_result(services, kind)).model_dump_json()
    async with services.database.transaction() as session:
        await session.execute(
            text("""
                INSERT INTO analysis_results (album_id, kind, params_key, album_version, payload)
                SELECT album_id, kind, params_key, album_version, CAST(:payload AS json) FROM results WHERE kind = :kind
                LIMIT 1
            """),
            {"payload": payload, "kind": kind},
        )
        await session.execute(text("DELETE FROM results"))
    answer = await asked(client, kind)
    assert {section: await all_pages(client, link) for section, link in answer["pages"].items()} == expected


async def test_a_result_of_an_earlier_version_that_names_images_no_longer_there_is_read_by_page(
    client: httpx.AsyncClient, services: Services, large: list[str]
) -> None:
    await asked(client, "tags")
    gone = [f"https://example.org/{number}.jpg" for number in range(3)]
    payload = {"tags": {"red": gone}, "failed": [], "scores": {ref: {"red": 0.9} for ref in gone}}
    async with services.database.transaction() as session:
        insert = """
            INSERT INTO analysis_results (album_id, kind, params_key, album_version, payload)
            SELECT album_id, kind, params_key, album_version, CAST(:payload AS json) FROM results WHERE kind = 'tags'
        """
        await session.execute(text(insert), {"payload": json.dumps(payload)})
        await session.execute(text("DELETE FROM results"))
    assert sorted(entry["image"] for entry in await all_pages(client, f"{ALBUM}/tags", 1)) == gone


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("cursor", ["x", "%00", "1", "-1", "9" * 19 + "0", "per_1", "٣" * 19, "a" * 300])
async def test_a_bad_cursor_is_a_clear_422(client: httpx.AsyncClient, large: list[str], name: str, cursor: str) -> None:
    joint = "&" if "?" in name else "?"
    problem = assert_problem(await client.get(f"{ALBUM}/{name}{joint}cursor={cursor}"), 422, "invalid-request")
    assert "cursor" in problem["detail"]


@pytest.mark.parametrize("name", LISTS[1:])
async def test_a_list_of_an_analysis_that_nobody_asked_for_is_404(idle_client: httpx.AsyncClient, name: str) -> None:
    body = {"images": ["https://example.org/a.jpg"], "album_id": "trip/may"}
    await idle_client.post("/api/v1/albums/embeddings", json=body, headers={"Prefer": "respond-async"})
    problem = assert_problem(await idle_client.get(f"{ALBUM}/{name}"), 404, "not-found")
    assert "trip/may" in problem["detail"]


async def test_show_prints_a_large_album_like_a_small_one(
    live_url: str, client: httpx.AsyncClient, services: Services, large: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("tags", "duplicates", "people"):
        await asked(client, kind)
    assert await asyncio.to_thread(main, ["--server", live_url, "show", "trip/may", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for kind, field in (("tags", "tags"), ("duplicates", "duplicates"), ("people", "people_clusters")):
        assert shown["results"][field] == (await whole_result(services, kind)).model_dump(mode="json")[field]
    assert [image["image"] for image in shown["images"]] == large
    assert await asyncio.to_thread(main, ["--server", live_url, "show", "trip/may"]) == 0
    assert "trip/may: 7 pictures" in capsys.readouterr().out
