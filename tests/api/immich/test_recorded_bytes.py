"""Immich's machine learning: the bytes that Immich's server sends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from configs.settings import Settings
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.telemetry import Metrics
from tests.api.conftest import serving
from tests.api.immich.asking import vector
from tests.support.immich import replay


@pytest.fixture
async def url(services: Services, settings: Settings) -> AsyncIterator[str]:
    """A real HTTP server on the loopback interface."""
    async with serving(build_app(services, settings, Metrics("ingress"))) as url:
        yield url


class TestRecordedBytes:
    """What Node's `fetch` writes, byte for byte, against a real HTTP server."""

    async def test_a_librarys_calls_over_one_connection(self, url: str) -> None:
        names = ("ping", "clip_visual", "faces", "ping", "clip_textual", "two_tasks", "faces_recognition_first")
        ping, picture, faces, again, text, both, turned = await replay(url, *names)
        assert {answer.status for answer in (ping, picture, faces, again, text, both, turned)} == {200}
        assert ping.body == again.body == b"pong"
        assert picture.json()["imageWidth"] == 96
        assert len(faces.json()["facial-recognition"]) == 2
        assert turned.json() == faces.json()
        assert both.json() == picture.json() | faces.json()
        assert vector(text.json()["clip"]).shape == vector(picture.json()["clip"]).shape

    async def test_a_query_without_a_language_is_found_as_one_with(self, url: str) -> None:
        [answer] = await replay(url, "clip_textual_without_language")
        assert answer.status == 200
        assert set(answer.json()) == {"clip"}

    async def test_an_empty_picture_is_400_with_the_word_that_immich_knows(self, url: str) -> None:
        [answer] = await replay(url, "empty_picture")
        assert answer.status == 400
        assert "zero" in answer.json()["detail"]

    async def test_the_connection_lives_on_after_a_refusal(self, url: str) -> None:
        refused, answered = await replay(url, "empty_picture", "clip_visual")
        assert (refused.status, answered.status) == (400, 200)

    async def test_text_is_answered_in_four_lists(self, url: str) -> None:
        [answer] = await replay(url, "ocr")
        assert answer.status == 200
        assert set(answer.json()) == {"ocr", "imageHeight", "imageWidth"}
        assert set(answer.json()["ocr"]) == {"text", "box", "boxScore", "textScore"}
