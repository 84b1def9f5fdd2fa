"""An album of photographs, end to end over HTTP: every capability through Serve, with the real models."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from bench.server import Server
from tests.cluster.conftest import MAX_IMAGES
from tests.support.album_client import album_when_analysed, start_album, upload
from tests.support.builders import a_photo, encoded

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

ALBUM = "shipped"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    astronaut, coffee = a_photo("astronaut"), a_photo("coffee")
    return {
        "astronaut.jpg": encoded(astronaut, quality=90),
        "astronaut_again.jpg": encoded(astronaut, quality=90),
        "astronaut_small.jpg": encoded(a_photo("astronaut", 300), quality=70),
        "coffee.jpg": encoded(coffee, quality=90),
        "coffee_cropped.png": encoded(coffee[40:380, 60:560], "PNG"),
        "cat.webp": encoded(a_photo("chelsea"), "WEBP"),
        "rocket.jpg": encoded(a_photo("rocket")),
    }


@pytest.fixture(scope="module")
def album(server: Server, files: dict[str, bytes]) -> dict[str, str]:
    """Uploaded, embedded and analysed once for all tests here. -> name: url"""
    with httpx.Client(base_url=f"{server.url}/api/v1", timeout=120, trust_env=False) as client:
        urls = upload(client, files)
        start_album(client, ALBUM, list(urls.values()))
        album_when_analysed(client, ALBUM)
        return urls


def _ask(client: httpx.Client, analysis: str, **body: Any) -> dict[str, Any]:
    response = client.post(f"/albums/{analysis}", json={"album_id": ALBUM} | body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def _names(album: dict[str, str], refs: list[str]) -> set[str]:
    return {name for name, url in album.items() if url in refs}


def test_every_picture_of_the_album_is_embedded(client: httpx.Client, album: dict[str, str]) -> None:
    found = client.get(f"/albums/{ALBUM}").json()
    assert {image["image"]: image["status"] for image in found["images"]} == dict.fromkeys(album.values(), "embedded")
    assert set(found["results"]) == {"tags", "duplicates", "people_clusters"}


def test_the_same_file_and_an_edited_copy_are_one_duplicate_group(client: httpx.Client, album: dict[str, str]) -> None:
    groups = [_names(album, refs) for refs in _ask(client, "duplicates")["duplicates"].values()]
    assert {"astronaut.jpg", "astronaut_again.jpg", "astronaut_small.jpg"} in groups
    assert {"coffee.jpg", "coffee_cropped.png"} in groups
    assert len(groups) == 2


def test_the_one_person_is_found_in_her_pictures(client: httpx.Client, album: dict[str, str]) -> None:
    people = _ask(client, "clusters")["people_clusters"]
    assert {person: _names(album, refs) for person, refs in people.items()} == {
        "person1": {"astronaut.jpg", "astronaut_again.jpg", "astronaut_small.jpg"}
    }


def test_tags_say_what_the_pictures_show(client: httpx.Client, album: dict[str, str]) -> None:
    tags = {tag: _names(album, refs) for tag, refs in _ask(client, "tags")["tags"].items()}
    assert "cat.webp" in tags["cat"]
    assert "astronaut.jpg" in tags["person"]
    assert "rocket.jpg" not in tags["person"]


def test_the_clients_own_labels_are_judged(client: httpx.Client, album: dict[str, str]) -> None:
    tags = _ask(client, "tags", labels=["kitten", "espresso"])["tags"]
    assert set(tags) <= {"kitten", "espresso"}
    assert _names(album, tags["kitten"]) == {"cat.webp"}


def test_a_search_puts_the_picture_that_fits_first(client: httpx.Client, album: dict[str, str]) -> None:
    results = client.get(f"/albums/{ALBUM}/search", params={"q": "cat"}).json()["results"]
    assert results[0]["image"] == album["cat.webp"]


def test_the_most_similar_picture_is_the_crop(client: httpx.Client, album: dict[str, str]) -> None:
    results = client.get(f"/albums/{ALBUM}/similar", params={"image": album["coffee.jpg"]}).json()["results"]
    assert results[0]["image"] == album["coffee_cropped.png"]


def test_every_picture_has_a_quality(client: httpx.Client, album: dict[str, str]) -> None:
    judged = _ask(client, "quality")["quality"]
    assert {entry["image"] for entry in judged} == set(album.values())
    assert all(0 <= entry["score"] <= 1 for entry in judged)


def test_a_job_can_be_watched_to_its_end(client: httpx.Client, files: dict[str, bytes]) -> None:
    urls = upload(client, {"alone.jpg": files["cat.webp"]})
    job = start_album(client, "watched", list(urls.values()))
    with client.stream("GET", f"/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        data = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: ")]
    last = json.loads(data[-1])
    assert (last["id"], last["status"], last["progress"]) == (job, "succeeded", 1)


def test_a_stored_file_comes_back_byte_by_byte(
    client: httpx.Client, album: dict[str, str], files: dict[str, bytes]
) -> None:
    assert client.get(album["rocket.jpg"]).content == files["rocket.jpg"]


def test_a_variable_of_the_settings_tree_reaches_the_replicas(client: httpx.Client) -> None:
    refs = [f"img_{number:026d}" for number in range(MAX_IMAGES + 1)]
    response = client.post("/albums/tags", json={"images": refs})
    assert response.status_code == 413
    assert str(MAX_IMAGES) in response.json()["detail"]


def test_an_answer_names_the_request_once(client: httpx.Client) -> None:
    ours = client.get("/albums", headers={"X-Request-ID": "ours"})
    assert ours.headers.get_list("x-request-id") == ["ours"]
    missing = client.get("/albums/missing")
    assert [f"urn:request:{name}" for name in missing.headers.get_list("x-request-id")] == [missing.json()["instance"]]


def test_a_photograph_comes_back_in_a_style_and_the_history_has_it(client: httpx.Client, album: dict[str, str]) -> None:
    asked = {"image_url": album["cat.webp"], "style_name": "watercolor", "seed": 5}
    response = client.post("/style", json=asked)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["engine"], answer["seed"]) == ("opencv", 5)
    made = httpx.get(answer["image_url"], trust_env=False)
    assert made.headers["content-type"] == "image/jpeg"
    entry = client.get(f"/history/{answer['history_id']}").json()
    assert (entry["status"], entry["input"], entry["output_url"]) == (
        "succeeded",
        album["cat.webp"],
        answer["image_url"],
    )


def test_the_server_reports_that_each_part_of_it_works(server: Server) -> None:
    ready = httpx.get(f"{server.url}/readyz", trust_env=False).json()
    assert ready["status"] == "ready"
    assert all(part["ok"] for part in ready["checks"].values())


def test_metrics_hold_those_of_the_worker_too(server: Server, album: dict[str, str]) -> None:
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    assert 'darkroom_worker_jobs_ended_total{kind="embeddings",outcome="succeeded"}' in text
    assert "darkroom_ingress_http_requests_total" in text
