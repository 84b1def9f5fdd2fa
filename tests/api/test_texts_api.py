"""Reading text in albums: what is asked for, what the background reads, and where it is kept."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.settings import Settings, Texts
from deployments.algorithms.texts.rows import plain_text
from deployments.errors import DeadlineExceeded, NotDeployed, Unavailable
from serve_app.api.app import build_app
from serve_app.services.albums import text_reading
from serve_app.services.container import Services
from serve_app.store.queue import claims
from serve_app.store.repositories import texts
from serve_app.store.repositories.texts import GLANCED, StoredTexts
from serve_app.telemetry import Metrics
from tests.api.conftest import assert_problem, embed, upload
from tests.api.test_housekeeping import count
from tests.support.builders import a_flat_image, an_image, encoded, encoded_turned
from tests.support.fakes import FakeCapabilities, with_text

ALBUM = "papers"
NOTE = with_text(with_text(a_flat_image((160, 90)), "B", at=(8, 60)), "A", at=(8, 10))
"""Says AAA in its first line and BBB in the next."""


def png(pixels: Any) -> bytes:
    return encoded(pixels, "PNG")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"texts": Texts(min_writing=0.001)})


async def read(client: httpx.AsyncClient, detail: bool = False, **body: Any) -> dict[str, Any]:
    response = await client.post("/api/v1/albums/texts", json=body, params={"detail": detail})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_each_picture_is_answered_with_its_lines_in_reading_order(client: httpx.AsyncClient) -> None:
    [note, blank] = await upload(client, png(NOTE), png(a_flat_image()))
    found = await read(client, images=[note, blank])
    assert sorted(found["texts"], key=lambda one: one["image"] != note) == [
        {"image": note, "text": "AAA\nBBB"},
        {"image": blank, "text": ""},
    ]
    assert found["failed"] == []


async def test_with_detail_each_line_has_its_corners_in_pixels_of_the_original(client: httpx.AsyncClient) -> None:
    """Which is larger than the picture that is read."""
    large = NOTE.repeat(16, axis=0).repeat(16, axis=1)
    [url] = await upload(client, png(large))
    [entry] = (await read(client, detail=True, images=[url]))["texts"]
    [first, second] = entry["lines"]
    assert (first["text"], second["text"]) == ("AAA", "BBB")
    assert first["score"] == pytest.approx(0.8)
    assert first["text_score"] == pytest.approx(0.9)
    expected = [(16 * x, 16 * y) for x, y in ((8, 10), (32, 10), (32, 16), (8, 16))]
    for (x, y), (wanted_x, wanted_y) in zip(first["corners"], expected, strict=True):
        assert x == pytest.approx(wanted_x, abs=3)
        assert y == pytest.approx(wanted_y, abs=3)


async def test_corners_are_those_of_the_upright_picture(client: httpx.AsyncClient) -> None:
    [url] = await upload(client, encoded_turned(NOTE, 6, "PNG"))
    [entry] = (await read(client, detail=True, images=[url]))["texts"]
    [(left, top), _, (right, bottom), _] = entry["lines"][0]["corners"]
    assert (left, top, right, bottom) == (8, 10, 32, 16)


async def test_lines_below_the_least_score_are_left_out_of_text_and_lines(client: httpx.AsyncClient) -> None:
    [url] = await upload(client, png(NOTE))
    [entry] = (await read(client, detail=True, images=[url], min_score=0.95))["texts"]
    assert entry == {"image": url, "text": "", "lines": []}


async def test_what_was_read_is_not_read_again(client: httpx.AsyncClient, capabilities: FakeCapabilities) -> None:
    [url] = await upload(client, png(NOTE))
    await embed(client, ALBUM, [url])
    whole = await read(client, album_id=ALBUM)
    asked = capabilities.calls.count("read_texts")
    assert await read(client, album_id=ALBUM) == whole
    assert (await read(client, album_id=ALBUM, min_score=0.6))["texts"] == whole["texts"]
    assert (await read(client, images=[url]))["texts"] == whole["texts"]
    assert capabilities.calls.count("read_texts") == asked


async def test_a_result_of_another_recognition_model_is_not_answered(
    client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    """Nor is what was stored under the name of the album's state: the model is no part of that."""

    async def count_jobs() -> int:
        return len((await client.get("/api/v1/jobs", params={"kind": "texts"})).json()["items"])

    [url] = await upload(client, png(NOTE))
    await embed(client, ALBUM, [url])
    await read(client, album_id=ALBUM)
    before = await count_jobs()
    await read(client, album_id=ALBUM)
    assert await count_jobs() == before
    changed = settings.model_copy(update={"texts": Texts(recognition_model=Path("korean.onnx"))})
    transport = httpx.ASGITransport(build_app(services, changed, Metrics("ingress")))
    async with httpx.AsyncClient(transport=transport, base_url=str(client.base_url), timeout=60) as other:
        await read(other, album_id=ALBUM)
    assert await count_jobs() == before + 1


async def test_a_glance_that_ends_late_takes_nothing_from_what_was_read_closer(
    client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    """The background may be at a picture that somebody asks for."""
    [url] = await upload(client, png(NOTE))
    await embed(client, ALBUM, [url])
    await read(client, album_id=ALBUM)
    sha = hashlib.sha256(png(NOTE)).hexdigest()

    async def kept(model: str) -> str:
        """Save a late glance of a model's. -> what is kept of its reading"""
        async with services.database.transaction() as session:
            await texts.save(session, model, {sha: StoredTexts(GLANCED, (), "", "")})
            return (await texts.load(session, model, [sha]))[sha].page

    assert await kept(settings.texts_model) == "AAA\nBBB"
    assert await kept("another") == ""


async def test_the_background_reads_what_looks_like_writing_and_nothing_else(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    likely = NOTE.copy()
    likely[30:50, 10:150][:, ::2] = 0  # print, as far as edges tell
    urls = await upload(client, png(likely), png(a_flat_image()), png(an_image((160, 90), 3)))
    await embed(client, ALBUM, urls)
    found = await read(client, album_id=ALBUM, likely_only=True)
    assert [one["image"] for one in found["texts"]] == urls[:1]
    assert capabilities.calls.count("read_texts") == 1
    everything = await read(client, album_id=ALBUM)
    assert len(everything["texts"]) == 3
    assert capabilities.calls.count("read_texts") == 3


async def test_without_an_engine_albums_are_analysed_as_before_and_who_asks_hears_of_it(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> list[Any]:
        raise NotDeployed("Reading text needs the extra.")

    monkeypatch.setattr(capabilities, "read_texts", refuse)
    likely = NOTE.copy()
    likely[30:50, 10:150][:, ::2] = 0
    urls = await upload(client, png(likely))
    await embed(client, ALBUM, urls)
    assert (await read(client, album_id=ALBUM, likely_only=True))["texts"] == []
    refused = await client.post("/api/v1/albums/texts", json={"album_id": ALBUM})
    assert_problem(refused, 503, "not-deployed")


async def test_without_an_engine_the_background_asks_for_it_a_few_times_and_not_for_each_picture(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def refuse(*_: object) -> list[Any]:
        nonlocal asked
        asked += 1
        raise NotDeployed("Reading text needs the extra.")

    monkeypatch.setattr(capabilities, "read_texts", refuse)
    at_once = settings.runtime.threads + 1
    likely = [NOTE.copy() for _ in range(2 * at_once + 2)]
    for shade, picture in enumerate(likely):
        picture[30:50, 10:150][:, ::2] = shade
    urls = await upload(client, *map(png, likely))
    await embed(client, ALBUM, urls)
    assert (await read(client, album_id=ALBUM, likely_only=True))["texts"] == []
    assert 1 <= asked <= at_once


async def test_the_order_of_reading_is_found_beside_the_event_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a thousand lines it takes seconds, in which no heartbeat of any job would be sent."""
    threads = set[threading.Thread]()

    def watched(*arguments: Any) -> str:
        threads.add(threading.current_thread())
        return plain_text(*arguments)

    monkeypatch.setattr(text_reading, "plain_text", watched)
    [url] = await upload(client, png(NOTE))
    assert (await read(client, images=[url]))["texts"] == [{"image": url, "text": "AAA\nBBB"}]
    assert threads
    assert threading.current_thread() not in threads


async def test_a_picture_that_breaks_its_reading_is_named_and_stops_no_other(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = capabilities.read_texts

    async def read_texts(images: Any, *rest: Any) -> list[Any]:
        if images[0].shape[:2] != NOTE.shape[:2]:
            raise RuntimeError("the network broke")
        return await whole(images, *rest)

    monkeypatch.setattr(capabilities, "read_texts", read_texts)
    [note, other] = await upload(client, png(NOTE), png(a_flat_image()))
    found = await read(client, images=[note, other])
    assert [one["image"] for one in found["texts"]] == [note]
    assert [(one["image"], one["code"]) for one in found["failed"]] == [(other, "analysis_failed")]


async def test_a_picture_that_takes_too_long_fails_alone(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = capabilities.read_texts

    async def read_texts(images: Any, *rest: Any) -> list[Any]:
        if images[0].shape[:2] != NOTE.shape[:2]:
            raise DeadlineExceeded("It took longer than it may.")
        return await whole(images, *rest)

    monkeypatch.setattr(capabilities, "read_texts", read_texts)
    [note, other] = await upload(client, png(NOTE), png(a_flat_image()))
    found = await read(client, images=[note, other])
    assert [one["image"] for one in found["texts"]] == [note]
    [failed] = found["failed"]
    assert (failed["image"], failed["code"]) == (other, "analysis_failed")
    assert "too long" in failed["detail"]


async def test_where_every_picture_takes_too_long_the_reader_is_to_blame(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: object) -> list[Any]:
        raise DeadlineExceeded("It took longer than it may.")

    monkeypatch.setattr(capabilities, "read_texts", late)
    monkeypatch.setattr(claims, "backoff_s", lambda *_, **__: 0.0)
    urls = await upload(client, *(png(a_flat_image(colour=(shade, 9, 9))) for shade in range(0, 200, 20)))
    refused = await client.post("/api/v1/albums/texts", json={"images": urls})
    assert_problem(refused, 504, "deadline-exceeded")


async def test_while_the_engine_is_away_the_job_waits_for_it(
    client: httpx.AsyncClient, capabilities: FakeCapabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failures = capabilities.read_texts, [Unavailable("No replica.")]

    async def read_texts(*arguments: Any) -> list[Any]:
        if failures:
            raise failures.pop()
        return await whole(*arguments)

    monkeypatch.setattr(capabilities, "read_texts", read_texts)
    [url] = await upload(client, png(NOTE))
    assert (await read(client, images=[url]))["texts"] == [{"image": url, "text": "AAA\nBBB"}]


async def test_texts_go_with_the_last_album_that_holds_their_picture(
    client: httpx.AsyncClient, services: Services
) -> None:
    [url] = await upload(client, png(NOTE))
    for album in (ALBUM, "copy"):
        await embed(client, album, [url])
    await read(client, album_id=ALBUM)
    await client.delete(f"/api/v1/albums/{ALBUM}")
    assert await count(services, "picture_texts") == 1
    await client.delete("/api/v1/albums/copy")
    assert await count(services, "picture_texts") == 0


@pytest.mark.parametrize("body", [{}, {"min_score": 0.3}, {"min_score": 1.1}, {"likely_only": "perhaps"}])
async def test_a_body_that_says_nothing_or_too_much_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    named = {"album_id": ALBUM} if body else {}
    assert_problem(await client.post("/api/v1/albums/texts", json=named | body), 422, "invalid-request")
