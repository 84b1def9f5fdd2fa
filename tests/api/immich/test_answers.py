"""Immich's machine learning: the answers to what its server sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from configs.settings import Settings
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image, Vectors
from serve_app.services.container import Services
from tests.api.conftest import assert_problem
from tests.api.immich.asking import DETECTION, FACES, RED, TEXTUAL, TWO_FACES, VISUAL, asking, predict, vector
from tests.support.builders import a_flat_image, encoded_turned
from tests.support.decodes import count_decodes
from tests.support.fakes import FakeCapabilities, with_face


class Meeting(FakeCapabilities):
    """Answers no call until as many are under way as are awaited."""

    def __init__(self, awaited: int) -> None:
        super().__init__()
        self._barrier = asyncio.Barrier(awaited)

    async def embed_images(self, views: np.ndarray) -> Vectors:
        async with asyncio.timeout(10), self._barrier:
            return await super().embed_images(views)

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        async with asyncio.timeout(10), self._barrier:
            return await super().find_faces(images)


class TestAnswers:
    """Of a server that does the tasks."""

    async def test_a_ping_is_answered_as_text(self, idle_client: httpx.AsyncClient) -> None:
        response = await idle_client.get("/ping")
        assert (response.status_code, response.text) == (200, "pong")
        assert response.headers["content-type"].startswith("text/plain")

    async def test_a_picture_is_a_unit_vector_in_a_text_beside_its_size(self, idle_client: httpx.AsyncClient) -> None:
        response = await predict(idle_client, VISUAL, RED)
        assert response.status_code == 200, response.text
        body = response.json()
        assert set(body) == {"clip", "imageHeight", "imageWidth"}
        assert (body["imageWidth"], body["imageHeight"]) == (96, 64)
        assert float(np.linalg.norm(vector(body["clip"]))) == pytest.approx(1, abs=1e-5)

    async def test_a_text_is_a_vector_of_the_same_space(self, idle_client: httpx.AsyncClient) -> None:
        picture = vector((await predict(idle_client, VISUAL, RED)).json()["clip"])
        found = {}
        for word in ("red", "blue"):
            body = (await predict(idle_client, TEXTUAL, text=word)).json()
            assert set(body) == {"clip"}
            found[word] = float(vector(body["clip"]) @ picture)
        assert found["red"] > found["blue"] + 0.3

    async def test_a_text_may_come_as_a_plain_form(self, idle_client: httpx.AsyncClient) -> None:
        body = {"entries": json.dumps(TEXTUAL), "text": "red"}
        response = await idle_client.post("/predict", data=body)
        assert response.request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert vector(response.json()["clip"]).shape == (192,)

    async def test_faces_have_whole_boxes_scores_and_vectors_in_texts(self, idle_client: httpx.AsyncClient) -> None:
        body = (await predict(idle_client, FACES, TWO_FACES)).json()
        assert (body["imageWidth"], body["imageHeight"]) == (96, 64)
        faces = body["facial-recognition"]
        assert [set(face) for face in faces] == [{"boundingBox", "embedding", "score"}] * 2
        boxes = [face["boundingBox"] for face in faces]
        assert {"x1": 4, "y1": 4, "x2": 20, "y2": 20} in boxes
        assert {"x1": 60, "y1": 30, "x2": 80, "y2": 50} in boxes
        assert all(type(edge) is int for box in boxes for edge in box.values())
        assert all(face["score"] == pytest.approx(0.99) for face in faces)
        first, second = (vector(face["embedding"]) for face in faces)
        assert abs(float(first @ second)) < 1e-6

    async def test_detection_and_recognition_may_come_in_any_order(self, idle_client: httpx.AsyncClient) -> None:
        kinds = FACES["facial-recognition"]
        turned = {"facial-recognition": dict(reversed(kinds.items()))}
        one, other = [(await predict(idle_client, entries, TWO_FACES)).json() for entries in (FACES, turned)]
        assert one == other
        assert len(one["facial-recognition"]) == 2

    async def test_a_picture_without_faces_has_an_empty_list(self, idle_client: httpx.AsyncClient) -> None:
        assert (await predict(idle_client, FACES, RED)).json()["facial-recognition"] == []

    async def test_faces_under_the_score_that_is_asked_for_are_left_out(self, idle_client: httpx.AsyncClient) -> None:
        for least, left in ((0.98, 2), (0.995, 0)):
            detection = {"modelName": "buffalo_l", "options": {"minScore": least}}
            entries = {"facial-recognition": {"detection": detection, "recognition": {"modelName": "buffalo_l"}}}
            assert len((await predict(idle_client, entries, TWO_FACES)).json()["facial-recognition"]) == left

    async def test_options_that_are_unknown_or_of_the_other_model_change_nothing(
        self, idle_client: httpx.AsyncClient
    ) -> None:
        recognition = {"modelName": "buffalo_l", "options": {"minScore": 7, "language": "ko"}}
        entries = {"facial-recognition": {"detection": DETECTION, "recognition": recognition}}
        assert (await predict(idle_client, entries, TWO_FACES)).json() == (
            await predict(idle_client, FACES, TWO_FACES)
        ).json()

    @pytest.mark.parametrize("name", ["ViT-B-32::openai", "immich-app/ViT-B-32__openai", "/a/b/ViT-B-32::openai"])
    async def test_names_are_cleaned_as_immich_cleans_them(self, idle_client: httpx.AsyncClient, name: str) -> None:
        assert (await predict(idle_client, {"clip": {"visual": {"modelName": name}}}, RED)).status_code == 200

    async def test_a_picture_that_exif_turns_keeps_the_size_and_boxes_of_its_file(
        self, idle_client: httpx.AsyncClient
    ) -> None:
        upright = with_face(a_flat_image((96, 64), (20, 20, 250)), 24, at=(70, 8))
        turned = encoded_turned(upright, 6, "PNG")
        body = (await predict(idle_client, FACES, turned)).json()
        assert (body["imageWidth"], body["imageHeight"]) == (64, 96)
        [face] = body["facial-recognition"]
        assert face["boundingBox"] == {"x1": 8, "y1": 10, "x2": 24, "y2": 26}, "upright it is at 70, 8"

    async def test_the_tasks_of_a_request_run_side_by_side(self, services: Services, settings: Settings) -> None:
        meeting = Meeting(2)
        async with asking(services, settings, meeting) as client:
            body = (await predict(client, {**VISUAL, **FACES}, TWO_FACES)).json()
        assert set(body) == {"clip", "facial-recognition", "imageHeight", "imageWidth"}
        assert len(body["facial-recognition"]) == 2

    async def test_a_picture_is_decoded_once_however_many_tasks_look_at_it(
        self, idle_client: httpx.AsyncClient
    ) -> None:
        with count_decodes() as decodes:
            assert (await predict(idle_client, {**VISUAL, **FACES}, TWO_FACES)).status_code == 200
        assert decodes == {(96, 64): 1}

    async def test_while_one_large_picture_is_worked_on_another_waits_or_is_told_to_ask_again(
        self, services: Services, settings: Settings
    ) -> None:
        class Held(FakeCapabilities):
            begun, go = asyncio.Event(), asyncio.Event()

            async def embed_images(self, views: Any) -> Vectors:
                self.begun.set()
                await self.go.wait()
                return await super().embed_images(views)

        held = Held()
        narrow = settings.immich.model_copy(update={"max_pixels_in_flight": 96 * 64, "wait_s": 0.0})
        async with asking(services, settings.model_copy(update={"immich": narrow}), held) as client:
            first = asyncio.create_task(predict(client, VISUAL, RED))
            await held.begun.wait()
            refused = await predict(client, VISUAL, RED)
            assert_problem(refused, 503, "unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert (await predict(client, TEXTUAL, text="red")).status_code == 200
            held.go.set()
            assert (await first).status_code == 200
            assert (await predict(client, VISUAL, RED)).status_code == 200

    async def test_tasks_and_how_they_ended_are_counted(self, services: Services, settings: Settings) -> None:
        async with asking(services, settings) as client:
            await predict(client, VISUAL, RED)
            await predict(client, FACES, TWO_FACES)
        rendered = services.metrics.render().decode()
        for task in ("clip", "facial-recognition"):
            assert f'immich_tasks_total{{outcome="ok",task="{task}"}} 1.0' in rendered
