"""A small library of Immich's through Ray Serve and its front door, by the bytes that Node's `fetch` writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from bench.server import Server
from tests.support.builders import a_photo, encoded
from tests.support.immich import replay

pytestmark = [pytest.mark.cluster, pytest.mark.weights]
NETWORK = "ViT-S-32-alt"
"""A small network of open_clip's, with random weights, under the name that the recorded requests ask for."""
START_S = 480.0
"""The tagger reads two thousand sentences by the text tower before it is ready."""
CLIP, FACES = "ViT-B-32__openai", "buffalo_l"
SEARCH = {"clip": {"visual": {"modelName": CLIP}}}
PEOPLE = {"facial-recognition": {kind: {"modelName": FACES} for kind in ("recognition", "detection")}}
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("open_clip")
    started = Server(
        tmp_path_factory.mktemp("server"),
        DARKROOM_IMMICH__ENABLED="true",
        DARKROOM_IMMICH__MODELS=json.dumps({CLIP: f"open_clip:{NETWORK}/"}),
        DARKROOM_IMMICH__FACES_AS=json.dumps([FACES]),
        DARKROOM_EMBEDDING__ENGINE="open_clip",
        DARKROOM_EMBEDDING__OPEN_CLIP_MODEL=NETWORK,
        DARKROOM_EMBEDDING__OPEN_CLIP_PRETRAINED="",
    )
    started.patience_s = START_S
    try:
        started.start()
        yield started
    finally:
        started.kill()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as opened:
        yield opened


def predict(client: httpx.Client, entries: dict[str, Any], picture: bytes) -> dict[str, Any]:
    answer = client.post("/predict", data={"entries": json.dumps(entries)}, files={"image": ("blob", picture)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def vector(text: str) -> np.ndarray:
    return np.array(json.loads(text), np.float32)


def test_recorded_calls_of_a_small_library_are_answered_over_one_connection(server: Server) -> None:
    calls = ["ping", "clip_visual", "faces", "clip_textual", "two_tasks", "faces_recognition_first", "ping"]
    answers = asyncio.run(replay(server.url, *calls, *calls))
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert answers[0].body == b"pong"
    again = answers[len(calls) :]
    for name, first, second in zip(calls, answers, again, strict=False):
        assert first.body == second.body, f"{name}: the same picture has the same vector"
    assert vector(answers[1].json()["clip"]).shape == vector(answers[3].json()["clip"]).shape


def test_photographs_have_vectors_of_their_own_and_faces_where_they_are(client: httpx.Client) -> None:
    found = {name: predict(client, SEARCH | PEOPLE, encoded(a_photo(name))) for name in PHOTOS}
    vectors = np.stack([vector(answer["clip"]) for answer in found.values()])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)
    assert len(np.unique(vectors.round(4), axis=0)) == len(PHOTOS)
    assert [len(answer["facial-recognition"]) for answer in found.values()] == [1, 0, 0, 0]
    [face] = found["astronaut"]["facial-recognition"]
    assert list(face["boundingBox"].values()) == pytest.approx([172, 62, 276, 166], abs=12)
    assert vector(face["embedding"]).shape == (512,)


def test_the_address_of_the_connection_is_what_counts(server: Server, client: httpx.Client) -> None:
    assert client.get("/ping").text == "pong"
    assert client.get("/ping", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


def test_what_is_broken_or_unknown_is_a_clean_refusal(client: httpx.Client) -> None:
    for entries, picture, status in (
        (SEARCH, b"no picture", 415),
        (SEARCH, b"", 400),
        ({"clip": {"visual": {"modelName": "ViT-L-14__openai"}}}, encoded(a_photo("coffee")), 422),
    ):
        answer = client.post("/predict", data={"entries": json.dumps(entries)}, files={"image": ("blob", picture)})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_tasks_are_on_the_page_of_metrics(client: httpx.Client) -> None:
    assert 'immich_tasks_total{outcome="ok",task="clip"}' in client.get("/metrics").text
