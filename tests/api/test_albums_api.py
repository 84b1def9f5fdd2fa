"""Albums over HTTP, with capabilities that can be predicted."""

from __future__ import annotations

import asyncio
import random
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from configs.settings import Embedding, Settings
from deployments.contracts.arrays import Image
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.services.runner import JobRunner
from serve_app.store.repositories import albums
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.telemetry import Metrics
from tests.api.conftest import BASE, assert_problem, embed, upload
from tests.support.builders import a_photo, encoded
from tests.support.fakes import FakeCapabilities, with_face


def flat(red: int, green: int, blue: int, seed: int = 0) -> Image:
    """A picture of one colour and a little noise."""
    noise = np.random.default_rng(seed).integers(0, 12, (64, 64, 3))
    return np.clip(np.array([red, green, blue]) + noise, 0, 255).astype(np.uint8)


RED, GREEN, BLUE = flat(220, 10, 10), flat(10, 220, 10), flat(10, 10, 220)


def png(image: Image) -> bytes:
    return encoded(image, "PNG")


async def finished(client: httpx.AsyncClient, job_id: str) -> dict[str, object]:
    async with asyncio.timeout(20):
        while True:
            job: dict[str, object] = (await client.get(f"/api/v1/jobs/{job_id}")).json()
            if job["status"] not in {"queued", "running"}:
                return job
            await asyncio.sleep(0.02)


async def test_embedding_an_album_answers_with_counts_and_follow_up_jobs(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(RED), png(GREEN))
    answer = await embed(client, "summer", refs)
    assert (answer["album_id"], answer["embedded"], answer["failed"]) == ("summer", 2, [])
    assert {job["kind"] for job in answer["jobs"]} == {"tags", "duplicates", "people"}
    for job in answer["jobs"]:
        assert (await finished(client, job["id"]))["status"] == "succeeded"
        assert (await client.get(job["href"])).status_code == 200
    album = (await client.get("/api/v1/albums/summer")).json()
    assert [image["status"] for image in album["images"]] == ["embedded", "embedded"]
    assert album["results"]["tags"] == {"green": [refs[1]], "red": [refs[0]]}
    assert album["results"]["duplicates"] == {}
    assert album["results"]["people_clusters"] == {}


async def test_an_album_without_a_name_gets_one(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(RED))
    response = await client.post("/api/v1/albums/embeddings", json={"images": refs})
    album_id = response.json()["album_id"]
    assert (await client.get(f"/api/v1/albums/{album_id}")).json()["images"][0]["image"] == refs[0]


async def test_posting_the_same_picture_again_changes_nothing(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    refs = await upload(client, png(RED), png(GREEN))
    await embed(client, "a", refs)
    before = (await client.get("/api/v1/albums/a")).json()["images"]
    calls = capabilities.calls.count("embed_images")
    await embed(client, "a", [refs[1], refs[0], refs[1]])
    assert (await client.get("/api/v1/albums/a")).json()["images"] == before
    assert capabilities.calls.count("embed_images") == calls


async def test_one_image_by_several_names_is_in_the_album_once(client: httpx.AsyncClient) -> None:
    [url] = await upload(client, png(RED))
    bare_id = url.rsplit("/", 1)[1].split(".")[0]
    by_another_host = url.replace(BASE, "http://localhost:8000")
    answer = await embed(client, "a", [url, bare_id, by_another_host])
    assert (answer["embedded"], answer["failed"]) == (1, [])
    assert (await embed(client, "a", [by_another_host]))["embedded"] == 1
    assert [image["image"] for image in (await client.get("/api/v1/albums/a")).json()["images"]] == [url]
    duplicates = (await client.post("/api/v1/albums/duplicates", json={"album_id": "a"})).json()["duplicates"]
    assert duplicates == {}


async def test_equal_bytes_are_analysed_once(client: httpx.AsyncClient, capabilities: FakeCapabilities) -> None:
    refs = await upload(client, png(RED), png(RED), png(RED))
    await embed(client, "a", refs)
    assert capabilities.calls.count("embed_images") == 1


async def test_tags_map_a_tag_to_the_references_as_they_were_sent(client: httpx.AsyncClient) -> None:
    urls = await upload(client, png(RED), png(GREEN))
    bare_id = urls[1].rsplit("/", 1)[1].split(".")[0]
    response = await client.post("/api/v1/albums/tags", json={"images": [urls[0], bare_id]})
    assert response.status_code == 200
    assert response.json() == {"tags": {"green": [bare_id], "red": [urls[0]]}, "failed": []}


async def test_detail_adds_scores_beside_the_same_keys(client: httpx.AsyncClient) -> None:
    [ref] = await upload(client, png(RED))
    await embed(client, "a", [ref])
    plain = (await client.post("/api/v1/albums/tags", json={"album_id": "a"})).json()
    detailed = (await client.post("/api/v1/albums/tags?detail=true", json={"album_id": "a"})).json()
    assert detailed["tags"] == plain["tags"]
    assert detailed["scores"][ref]["red"] > 0.5
    assert "scores" not in plain


async def test_the_clients_own_labels_are_used_alone(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(RED), png(GREEN))
    body = {"images": refs, "labels": ["green", "unheard of"]}
    assert (await client.post("/api/v1/albums/tags", json=body)).json()["tags"] == {"green": [refs[1]]}


async def test_identical_and_nearly_identical_pictures_are_one_group(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(RED), png(RED), encoded(RED, "JPEG", quality=90), png(BLUE))
    response = await client.post("/api/v1/albums/duplicates?detail=true", json={"images": refs})
    assert response.json()["duplicates"] == {"duplicate_group_1": sorted(refs[:3])}
    [group] = response.json()["groups"]
    assert group["keep"] in refs[:3]
    assert group["keep_reason"]
    assert {member["level"] for member in group["members"]} <= {"exact", "copy"}


async def test_the_exact_level_joins_equal_pixels_in_different_files(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(RED), encoded(RED, "BMP"), encoded(RED, "JPEG", quality=60))
    response = await client.post("/api/v1/albums/duplicates", json={"images": refs, "level": "exact"})
    assert response.json()["duplicates"] == {"duplicate_group_1": sorted(refs[:2])}


async def test_people_are_tags_and_labels_and_search_words(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(with_face(RED, 40)), png(GREEN))
    await embed(client, "a", refs)
    tags = (await client.post("/api/v1/albums/tags", json={"album_id": "a"})).json()["tags"]
    assert tags["person"] == [refs[0]]
    body = {"album_id": "a", "labels": ["People", "green"]}
    labelled = (await client.post("/api/v1/albums/tags", json=body)).json()["tags"]
    assert labelled == {"People": [refs[0]], "green": [refs[1]]}
    hits = (await client.get("/api/v1/albums/a/search", params={"q": "people"})).json()["results"]
    assert [hit["image"] for hit in hits] == [refs[0]]


async def test_people_are_named_by_the_number_of_their_pictures(client: httpx.AsyncClient) -> None:
    both = with_face(with_face(RED, 40), 200, at=(40, 40))
    refs = await upload(client, png(both), png(with_face(GREEN, 200)), png(BLUE))
    response = await client.post("/api/v1/albums/clusters?detail=true", json={"images": refs})
    assert response.json()["people_clusters"] == {"person1": sorted(refs[:2]), "person2": [refs[0]]}
    first = response.json()["people"][0]
    face = next(face for face in first["faces"] if face["image"] == refs[0])
    assert face["bbox"] == pytest.approx([40, 40, 56, 56], abs=2)
    assert first["representative_face"] in first["faces"]


async def test_a_person_keeps_its_id_when_pictures_are_added(client: httpx.AsyncClient) -> None:
    first = await upload(client, png(with_face(RED, 40)))
    await embed(client, "a", first)
    before = (await client.post("/api/v1/albums/clusters?detail=true", json={"album_id": "a"})).json()["people"]
    more = await upload(client, png(with_face(GREEN, 200)), png(with_face(BLUE, 200)), png(with_face(GREEN, 40)))
    await embed(client, "a", more)
    after = (await client.post("/api/v1/albums/clusters?detail=true", json={"album_id": "a"})).json()["people"]
    [same] = [person for person in after if first[0] in [face["image"] for face in person["faces"]]]
    assert same["id"] == before[0]["id"]


async def test_people_in_fewer_pictures_can_be_left_out(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(with_face(RED, 40)), png(with_face(GREEN, 40)), png(with_face(BLUE, 200)))
    response = await client.post("/api/v1/albums/clusters", json={"images": refs, "min_images": 2})
    assert response.json()["people_clusters"] == {"person1": sorted(refs[:2])}


async def test_quality_scores_every_picture(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(a_photo("coffee")), png(np.full((300, 400, 3), 2, np.uint8)))
    entries = {
        e["image"]: e for e in (await client.post("/api/v1/albums/quality", json={"images": refs})).json()["quality"]
    }
    assert set(entries) == set(refs)
    assert "dark" in entries[refs[1]]["issues"]
    assert entries[refs[0]]["score"] > entries[refs[1]]["score"]


async def test_answers_do_not_depend_on_the_order_of_the_images(client: httpx.AsyncClient) -> None:
    pictures = [png(RED), png(RED), png(flat(220, 10, 10, seed=5)), png(with_face(GREEN, 40)), png(with_face(BLUE, 40))]
    refs = await upload(client, *pictures)
    shuffled = refs[:]
    random.Random(3).shuffle(shuffled)
    for route in ("tags", "duplicates", "clusters", "quality"):
        one = await client.post(f"/api/v1/albums/{route}", json={"images": refs})
        other = await client.post(f"/api/v1/albums/{route}", json={"images": shuffled})
        assert one.content == other.content


async def test_unusable_references_are_listed_and_fail_nothing(client: httpx.AsyncClient) -> None:
    [good] = await upload(client, png(RED))
    refs = [good, "img_0000000000nothing", "http://10.0.0.1/x.jpg", "s3://bucket/key", "gopher://x/y"]
    answer = (await client.post("/api/v1/albums/tags", json={"images": refs})).json()
    assert answer["tags"] == {"red": [good]}
    assert {entry["image"]: entry["code"] for entry in answer["failed"]} == {
        "img_0000000000nothing": "not_found",
        "http://10.0.0.1/x.jpg": "forbidden_address",
        "s3://bucket/key": "forbidden_address",
        "gopher://x/y": "not_found",
    }


@pytest.mark.parametrize("route", ["tags", "duplicates", "clusters", "quality", "embeddings"])
async def test_a_call_whose_every_image_failed_is_422(client: httpx.AsyncClient, route: str) -> None:
    response = await client.post(f"/api/v1/albums/{route}", json={"images": ["img_0000000000nothing"]})
    body = assert_problem(response, 422, "all-images-failed")
    assert body["failed"][0]["code"] == "not_found"


async def test_a_result_of_the_present_state_is_not_computed_again(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    refs = await upload(client, png(RED), png(GREEN))
    answer = await embed(client, "a", refs)
    for job in answer["jobs"]:
        await finished(client, job["id"])
    calls = len(capabilities.calls)
    for route in ("tags", "duplicates", "clusters"):
        assert (await client.post(f"/api/v1/albums/{route}", json={"album_id": "a"})).status_code == 200
    assert len(capabilities.calls) == calls


async def test_search_finds_by_word_and_says_when_a_word_means_nothing(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(RED), png(GREEN))
    await embed(client, "a", refs)
    hits = (await client.get("/api/v1/albums/a/search", params={"q": "green", "limit": 1})).json()["results"]
    assert [hit["image"] for hit in hits] == [refs[1]]
    assert_problem(await client.get("/api/v1/albums/a/search", params={"q": "zygote"}), 422, "not-supported")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("-red", [1, 2, 3]), ("-red -green", [2, 3]), ("green -red", [1]), ("green -green", []), ("사람", [3]),
        ("Leute", [3]), ("-people", [0, 1, 2]), ("people -blue", []), ("blue -people", [2]), ("a person, blue", [3]),
        ("people zygote", [3]),
    ],
)  # fmt: skip
async def test_search_excludes_combines_and_knows_people_in_other_languages(
    client: httpx.AsyncClient, query: str, found: list[int]
) -> None:
    refs = await upload(client, png(RED), png(GREEN), png(BLUE), png(with_face(BLUE, 40)))
    await embed(client, "a", refs)
    hits = (await client.get("/api/v1/albums/a/search", params={"q": query})).json()["results"]
    assert sorted(hit["image"] for hit in hits if hit["score"] > 0.2) == sorted(refs[place] for place in found)


@pytest.mark.parametrize("query", ["green -zygote", "-zygote", " ".join(f"-{word}" for word in "abcdefghijk")])
async def test_an_unknown_excluded_word_and_too_many_of_them_are_refused(client: httpx.AsyncClient, query: str) -> None:
    refs = await upload(client, png(RED), png(GREEN))
    await embed(client, "a", refs)
    assert_problem(await client.get("/api/v1/albums/a/search", params={"q": query}), 422, "not-supported")


async def test_similar_pictures_come_best_first_without_the_one_asked_about(client: httpx.AsyncClient) -> None:
    refs = await upload(client, png(RED), png(flat(200, 40, 10)), png(BLUE))
    await embed(client, "a", refs)
    hits = (await client.get("/api/v1/albums/a/similar", params={"image": refs[0]})).json()["results"]
    assert [hit["image"] for hit in hits] == [refs[1], refs[2]]
    assert_problem(await client.get("/api/v1/albums/a/similar", params={"image": "img_0000000000nothing"}), 404)


async def test_a_deleted_album_is_gone_and_its_uploads_stay(client: httpx.AsyncClient) -> None:
    [ref] = await upload(client, png(RED))
    await embed(client, "a", [ref])
    assert (await client.delete("/api/v1/albums/a")).status_code == 204
    assert_problem(await client.get("/api/v1/albums/a"), 404)
    assert_problem(await client.post("/api/v1/albums/tags", json={"album_id": "a"}), 404)
    assert (await client.get(ref)).status_code == 200


async def test_albums_are_listed_in_pages_newest_first(client: httpx.AsyncClient) -> None:
    [ref] = await upload(client, png(RED))
    for name in ("one", "two", "three"):
        await embed(client, name, [ref])
    first = (await client.get("/api/v1/albums", params={"limit": 2})).json()
    assert [item["album_id"] for item in first["items"]] == ["three", "two"]
    rest = (await client.get("/api/v1/albums", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["album_id"] for item in rest["items"]] == ["one"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "name", ["a/b", "a/search", "similar", "100%", "a%2Fb", "a b?c#d", "été ☀️", "tags", "embeddings", "x" * 200]
)
async def test_an_album_may_be_called_anything(client: httpx.AsyncClient, name: str) -> None:
    one, other = await upload(client, png(RED), png(GREEN))
    await embed(client, name, [one, other])
    path = f"/api/v1/albums/{quote(name, safe='')}"
    assert (await client.get(path)).json()["album_id"] == name
    hits = (await client.get(f"{path}/search", params={"q": "red"})).json()["results"]
    assert hits[0]["image"] == one
    assert (await client.get(f"{path}/similar", params={"image": one})).json()["results"][0]["image"] == other
    assert (await client.post("/api/v1/albums/quality", json={"album_id": name})).status_code == 200
    assert (await client.delete(path)).status_code == 204
    assert_problem(await client.get(path), 404)


async def test_an_album_whose_pictures_were_all_deleted_is_empty_and_answers(client: httpx.AsyncClient) -> None:
    [ref] = await upload(client, png(with_face(RED, 40)))
    await embed(client, "a", [ref])
    await client.delete(f"/api/v1/images/{ref.rsplit('/', 1)[1].split('.')[0]}")
    for route, key, nothing in (
        ("tags", "tags", {}),
        ("duplicates", "duplicates", {}),
        ("clusters", "people_clusters", {}),
        ("quality", "quality", []),
    ):
        answer = await client.post(f"/api/v1/albums/{route}?detail=true", json={"album_id": "a"})
        assert answer.status_code == 200, answer.text
        assert answer.json()[key] == nothing
    assert (await client.get("/api/v1/albums/a/search", params={"q": "red"})).json() == {"results": []}
    assert (await client.get("/api/v1/albums/a")).json()["images"] == []


async def test_pictures_of_a_cancelled_job_are_read_when_posted_again(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    body = {"images": await upload(idle_client, png(RED), png(GREEN)), "album_id": "a"}
    posted = await idle_client.post("/api/v1/albums/embeddings", json=body, headers={"Prefer": "respond-async"})
    assert (await idle_client.delete(posted.headers["location"])).json()["status"] == "cancelled"
    runner = JobRunner(services, settings.jobs)
    running = asyncio.create_task(runner.run())
    try:
        assert (await embed(idle_client, "a", body["images"]))["embedded"] == 2
    finally:
        await runner.stop()
        await running


async def test_an_unknown_album_is_404(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/albums/nope", "/api/v1/albums/nope/search?q=red", "/api/v1/albums/nope/similar?image=x"):
        assert_problem(await client.get(path), 404, "not-found")
    assert_problem(await client.delete("/api/v1/albums/nope"), 404)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "null",
        '{"images": []}',
        '{"images": [1]}',
        '{"images": [""]}',
        '{"images": ["a"], "albumid": "x"}',
        '{"images": ["a"], "album_id": ""}',
        "{}",
    ],
)
async def test_a_malformed_body_is_422(idle_client: httpx.AsyncClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = await idle_client.post("/api/v1/albums/embeddings", content=body, headers=headers)
    assert_problem(response, 422, "invalid-request")


async def test_both_images_and_album_or_neither_is_422(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.post("/api/v1/albums/tags", json={"images": ["x"], "album_id": "a"}), 422)
    assert_problem(await idle_client.post("/api/v1/albums/tags", json={}), 422)


async def test_a_form_where_json_is_expected_is_415(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.post("/api/v1/albums/tags", data={"album_id": "a"}), 415)


async def test_more_references_than_the_limit_are_413(idle_client: httpx.AsyncClient) -> None:
    body = {"images": [f"{BASE}/x/{n}" for n in range(21)]}
    assert_problem(await idle_client.post("/api/v1/albums/embeddings", json=body), 413)


async def test_a_json_body_over_its_limit_is_413(idle_client: httpx.AsyncClient) -> None:
    body = {"images": ["x" * 8000] * 150}
    assert_problem(await idle_client.post("/api/v1/albums/embeddings", json=body), 413)


async def test_another_model_reads_the_album_again(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, services: Services, settings: Settings
) -> None:
    await embed(client, "a", await upload(client, png(RED)))
    async with services.database.transaction() as session:
        album = await albums.find(session, LOCAL_USER_ID, "a")
    assert album is not None
    calls = capabilities.calls.count("embed_images")
    await services.reader.read_album(album.user_id, album.id, Progress())
    assert capabilities.calls.count("embed_images") == calls
    changed = settings.model_copy(update={"embedding": Embedding(engine="open_clip", open_clip_model="other")})
    other = await Services.open(changed, capabilities, Metrics("other"), name="other")
    try:
        await other.reader.read_album(album.user_id, album.id, Progress())
    finally:
        await other.close()
    assert capabilities.calls.count("embed_images") == calls + 1
