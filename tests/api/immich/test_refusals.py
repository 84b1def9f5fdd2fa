"""Immich's machine learning: what is refused, and that it costs the next request nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from configs.settings import Embedding, Settings
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image, Vectors
from deployments.errors import Overloaded
from serve_app.services.container import Services
from tests.api.conftest import assert_problem
from tests.api.immich.asking import CLIP, FACES, RED, TEXTUAL, TWO_FACES, VISUAL, asking, predict, said
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.fakes import FakeCapabilities


class OneFull(FakeCapabilities):
    """Its face engine has a full queue, and its CLIP never ends."""

    was_cancelled = False

    def __init__(self) -> None:
        super().__init__()
        self._begun = asyncio.Event()

    async def embed_images(self, views: np.ndarray) -> Vectors:
        self._begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        raise AssertionError("unreachable")

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        await asyncio.wait_for(self._begun.wait(), 10)
        raise Overloaded("find_faces: the queue is full.")


class NoNumbers(FakeCapabilities):
    """A model whose precision overflows."""

    async def embed_images(self, views: np.ndarray) -> Vectors:
        return np.full((len(views), 512), np.nan, np.float32)


class TestRefusals:
    """Of requests that cannot be answered."""

    @pytest.mark.parametrize(
        "entries",
        [
            "",
            "no JSON",
            r'{"clip": {"textual": {"modelName": "\ud800"}}}',
            r'{"\ud800": {"visual": {"modelName": "x"}}}',
            "[]",
            "null",
            "[" * 100_000,
            '{"clip": []}',
            '{"clip": {"visual": "ViT-B-32__openai"}}',
            '{"clip": {"visual": {}}}',
            '{"clip": {"visual": {"modelName": 3}}}',
            '{"clip": {"visual": {"modelName": ""}}}',
            '{"clip": {"visual": {"modelName": "ViT-B-32__openai", "options": 3}}}',
            '{"clip": {"visual": {"modelName": "' + "x" * 1000 + '"}}}',
            '{"clip": {}}',
            '{"clip": {"other": {"modelName": "ViT-B-32__openai"}}}',
            '{"facial-recognition": {"detection": {"modelName": "buffalo_l"}}}',
            json.dumps({"clip": {str(number): {"modelName": CLIP} for number in range(100)}}),
            json.dumps(VISUAL) + " " * 70_000,
        ],
    )
    async def test_entries_that_ask_for_nothing_known_are_422(
        self, idle_client: httpx.AsyncClient, capabilities: FakeCapabilities, entries: str
    ) -> None:
        assert_problem(await predict(idle_client, entries, RED), 422)
        assert capabilities.calls == []

    @pytest.mark.parametrize("score", [-0.1, 1.1, "0.5", True, None, [], float("nan"), float("inf")])
    async def test_a_score_that_is_none_is_422(self, idle_client: httpx.AsyncClient, score: Any) -> None:
        detection = {"modelName": "buffalo_l", "options": {"minScore": score}}
        entries = {"facial-recognition": {"detection": detection, "recognition": {"modelName": "buffalo_l"}}}
        assert_problem(await predict(idle_client, entries, TWO_FACES), 422, "invalid-request")

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"data": {"text": "red"}},
            {"files": {"entries": ("blob", json.dumps(VISUAL).encode()), "image": ("blob", RED)}},
            {"data": {"entries": json.dumps(VISUAL), "image": "text"}},
            {"data": {"entries": [json.dumps(VISUAL)] * 2}, "files": {"image": ("blob", RED)}},
            {"data": {"entries": json.dumps(VISUAL)}, "files": [("image", ("blob", RED)), ("image", ("blob", RED))]},
            {"data": {f"field{number}": "x" for number in range(100)}},
            {"json": VISUAL},
            {"content": b"no form", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            {"content": b"no form", "headers": {"content-type": "multipart/form-data"}},
        ],
    )
    async def test_a_form_without_entries_or_with_fields_twice_is_422(
        self, idle_client: httpx.AsyncClient, body: dict[str, Any]
    ) -> None:
        assert_problem(await idle_client.post("/predict", **body), 422, "invalid-request")

    @pytest.mark.parametrize("entries", [VISUAL, TEXTUAL, FACES])
    async def test_neither_picture_nor_text_is_400(self, idle_client: httpx.AsyncClient, entries: Any) -> None:
        assert_problem(await predict(idle_client, entries), 400, "bad-request")

    @pytest.mark.parametrize(
        ("entries", "sent"), [(TEXTUAL, {"image": RED}), (VISUAL, {"text": "red"}), (FACES, {"text": "red"})]
    )
    async def test_a_picture_for_a_text_and_a_text_for_a_picture_are_400(
        self, idle_client: httpx.AsyncClient, entries: Any, sent: dict[str, Any]
    ) -> None:
        assert_problem(await predict(idle_client, entries, **sent), 400, "bad-request")

    async def test_recognition_without_detection_is_400(self, idle_client: httpx.AsyncClient) -> None:
        entries = {"facial-recognition": {"recognition": {"modelName": "buffalo_l"}}}
        problem = assert_problem(await predict(idle_client, entries, TWO_FACES), 400, "bad-request")
        assert "detection" in problem["detail"]

    async def test_an_empty_picture_is_400_and_said_to_have_zero_bytes(self, idle_client: httpx.AsyncClient) -> None:
        problem = assert_problem(await predict(idle_client, VISUAL, b""), 400, "bad-image")
        assert "zero" in problem["detail"]

    @pytest.mark.parametrize(
        ("picture", "status"),
        [(b"no picture", 415), (RED[: len(RED) // 2], 400), (encoded(an_image())[:400], 400), (b"\xff\xd8\xff", 400)],
    )
    async def test_a_picture_that_cannot_be_read_is_the_clients_fault(
        self, idle_client: httpx.AsyncClient, capabilities: FakeCapabilities, picture: bytes, status: int
    ) -> None:
        assert_problem(await predict(idle_client, VISUAL, picture), status)
        assert capabilities.calls == []

    @pytest.mark.parametrize("size", [(2001, 2001), (65_535, 1)])
    async def test_a_picture_too_large_or_too_thin_is_413(
        self, idle_client: httpx.AsyncClient, size: tuple[int, int]
    ) -> None:
        assert_problem(await predict(idle_client, VISUAL, encoded(a_flat_image(size), "PNG")), 413)

    async def test_a_file_over_the_limit_is_413(self, idle_client: httpx.AsyncClient, settings: Settings) -> None:
        sent = RED + bytes(settings.limits.max_file_bytes)
        assert_problem(await predict(idle_client, VISUAL, sent), 413, "image-too-large")

    async def test_a_body_over_the_limit_is_413_however_it_tells_its_length(
        self, idle_client: httpx.AsyncClient, settings: Settings
    ) -> None:
        limits = settings.limits
        sent = RED + bytes(limits.max_file_bytes + limits.max_json_bytes)
        assert_problem(await predict(idle_client, VISUAL, sent), 413, "payload-too-large")
        request = idle_client.build_request("POST", "/predict", data={"entries": "{}"}, files={"image": sent})
        body = request.read()

        async def parts() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 2**18):
                yield body[start : start + 2**18]

        kind = {"content-type": request.headers["content-type"]}
        assert_problem(await idle_client.post("/predict", content=parts(), headers=kind), 413, "payload-too-large")

    async def test_a_text_without_end_is_422(self, idle_client: httpx.AsyncClient) -> None:
        assert_problem(await predict(idle_client, TEXTUAL, text="x" * 4001), 422, "invalid-request")
        assert (await predict(idle_client, TEXTUAL, text="x" * 4000)).status_code == 200

    @pytest.mark.parametrize("kind", ["visual", "textual"])
    async def test_another_clip_model_is_refused_by_name_and_those_that_are_served_are_listed(
        self, idle_client: httpx.AsyncClient, capabilities: FakeCapabilities, kind: str
    ) -> None:
        with said() as logs:
            entries = {"clip": {kind: {"modelName": "ViT-L-14__openai"}}}
            response = await predict(idle_client, entries, *((RED,) if kind == "visual" else (None, "red")))
        problem = assert_problem(response, 422, "not-supported")
        assert "'ViT-L-14__openai'" in problem["detail"]
        assert CLIP in problem["detail"]
        assert [entry["asked"] for entry in logs if entry["event"] == "model of Immich refused"] == ["ViT-L-14__openai"]
        assert capabilities.calls == []

    @pytest.mark.parametrize("place", ["detection", "recognition"])
    async def test_another_face_model_is_refused_by_name(
        self, idle_client: httpx.AsyncClient, capabilities: FakeCapabilities, place: str
    ) -> None:
        kinds = {**FACES["facial-recognition"], place: {"modelName": "antelopev2"}}
        problem = assert_problem(
            await predict(idle_client, {"facial-recognition": kinds}, TWO_FACES), 422, "not-supported"
        )
        assert "'antelopev2'" in problem["detail"]
        assert "buffalo_l" in problem["detail"]
        assert capabilities.calls == []

    async def test_without_clip_its_tasks_are_503_in_one_sentence(self, services: Services, settings: Settings) -> None:
        local = settings.model_copy(update={"embedding": Embedding()})
        async with asking(services, local, FakeCapabilities()) as client:
            for entries, sent in ((VISUAL, {"image": RED}), (TEXTUAL, {"text": "red"})):
                problem = assert_problem(await predict(client, entries, **sent), 503, "not-deployed")
                assert problem["detail"].count(".") == 1
            assert (await predict(client, FACES, TWO_FACES)).status_code == 200

    @pytest.mark.parametrize("task", ["search", "x" * 500])
    async def test_a_task_that_is_not_there_is_refused_by_name(self, idle_client: httpx.AsyncClient, task: str) -> None:
        entries = {task: {"detection": {"modelName": "x"}}}
        problem = assert_problem(await predict(idle_client, entries, RED), 422, "not-supported")
        assert task[:40] in problem["detail"]
        assert "facial-recognition" in problem["detail"]
        assert len(problem["detail"]) < 200

    async def test_one_task_that_fails_ends_the_other(self, services: Services, settings: Settings) -> None:
        broken = OneFull()
        async with asking(services, settings, broken) as client:
            assert_problem(await predict(client, {**VISUAL, **FACES}, TWO_FACES), 429, "overloaded")
        assert broken.was_cancelled

    async def test_numbers_that_are_none_do_not_reach_a_library(self, services: Services, settings: Settings) -> None:
        async with asking(services, settings, NoNumbers()) as client:
            assert_problem(await predict(client, VISUAL, RED), 503)

    async def test_only_a_post_predicts(self, idle_client: httpx.AsyncClient) -> None:
        assert_problem(await idle_client.get("/predict"), 405)
