"""Immich's machine learning: the answers to what its server sends, what is refused, and who is let in."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from configs.settings import Embedding, FaceOptions, Immich, Settings
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image, Vectors
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.errors import Overloaded
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.services.immich.service import ImmichService
from serve_app.telemetry import Metrics, configure_logging
from tests.api.conftest import assert_problem, serving
from tests.support.accounts import BASE, a_client, bearer, with_keys
from tests.support.builders import a_flat_image, an_image, encoded, encoded_turned
from tests.support.decodes import count_decodes
from tests.support.fakes import FakeCapabilities, with_face
from tests.support.immich import replay

CLIP = "ViT-B-32__openai"
OPEN_CLIP = Embedding(engine="open_clip", open_clip_model="ViT-B-32-quickgelu", open_clip_pretrained="openai")
VISUAL = {"clip": {"visual": {"modelName": CLIP}}}
TEXTUAL = {"clip": {"textual": {"modelName": CLIP}}}
DETECTION = {"modelName": "buffalo_l", "options": {"minScore": 0.7}}
FACES = {"facial-recognition": {"detection": DETECTION, "recognition": {"modelName": "buffalo_l"}}}
RED = encoded(a_flat_image((96, 64), (250, 20, 20)), "PNG")
TWO_FACES = encoded(with_face(with_face(a_flat_image((96, 64), (20, 20, 250)), 24), 104, at=(60, 30), size=20), "PNG")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changes = {"immich": Immich(enabled=True), "embedding": OPEN_CLIP, "faces": FaceOptions(engine="insightface")}
    return settings.model_copy(update=changes)


@asynccontextmanager
async def asking(
    services: Services, settings: Settings, capabilities: FakeCapabilities | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client at `address` of a server with other settings, or other capabilities."""
    asked = services.immich if capabilities is None else ImmichService(capabilities, settings, services.metrics)
    app = build_app(_with(services, asked), settings, Metrics("ingress"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4000))
    async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60) as client:
        yield client


def _with(services: Services, immich: ImmichService) -> Services:
    return dataclasses.replace(services, immich=immich)


async def predict(
    client: httpx.AsyncClient, entries: Any, image: bytes | None = None, text: str | None = None
) -> httpx.Response:
    fields = {"entries": entries if isinstance(entries, str) else json.dumps(entries)}
    if text is not None:
        fields["text"] = text
    files = None if image is None else {"image": ("blob", image, "application/octet-stream")}
    return await client.post("/predict", data=fields, files=files)


@contextmanager
def said() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, warnings too, which tests have switched off."""
    configure_logging(Settings(log_level="WARNING"))
    try:
        with capture_logs() as logs:
            yield logs
    finally:
        configure_logging(Settings(log_level="ERROR"))


def vector(text: str) -> np.ndarray:
    assert isinstance(text, str)
    return np.array(json.loads(text), np.float32)


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


class LocalFaces(FakeCapabilities):
    """Faces with vectors as long as the local network's, each seen in an image of 48 pixels at most."""

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        self.seen = [image.shape[:2] for image in images]
        rows = np.eye(192, dtype=np.float32)
        return [[Face((4.0, 2.0, 20.0, 18.0), 0.9, 0.9, np.zeros((5, 2), np.float32), rows[0])] for _ in images]


class TestTheLocalNetwork:
    """Other vectors than Immich's: under a name of their own, or under one that the operator says."""

    @staticmethod
    def entries(name: str) -> dict[str, Any]:
        return {"facial-recognition": {"detection": {"modelName": name}, "recognition": {"modelName": name}}}

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"faces": FaceOptions()})

    async def test_a_known_name_is_refused_and_the_own_one_told(self, idle_client: httpx.AsyncClient) -> None:
        with said() as logs:
            response = await predict(idle_client, self.entries("buffalo_l"), TWO_FACES)
        problem = assert_problem(response, 422, "not-supported")
        assert "buffalo_l" in problem["detail"]
        assert "darkroom-mobilefacenet" in problem["detail"]
        assert [entry["log_level"] for entry in logs if entry["event"] == "model of Immich refused"] == ["warning"]

    async def test_vectors_are_512_numbers_without_the_mean(self, services: Services, settings: Settings) -> None:
        async with asking(services, settings, LocalFaces()) as client:
            body = (await predict(client, self.entries("darkroom-mobilefacenet"), RED)).json()
        found = vector(body["facial-recognition"][0]["embedding"])
        assert found.shape == (512,)
        assert float(np.linalg.norm(found)) == pytest.approx(1, abs=1e-5)
        assert not found[192:].any()
        assert (found[1:192] != 0).any(), "the mean was taken off"

    async def test_it_answers_to_a_name_that_the_operator_gave_it(self, services: Services, settings: Settings) -> None:
        named = settings.model_copy(update={"immich": Immich(enabled=True, faces_as=("buffalo_l",))})
        async with asking(services, named, LocalFaces()) as client:
            assert (await predict(client, self.entries("buffalo_l"), RED)).status_code == 200

    async def test_a_network_without_a_measured_mean_is_not_served(
        self, services: Services, settings: Settings
    ) -> None:
        dlib = settings.model_copy(update={"faces": FaceOptions(network="dlib")})
        async with asking(services, dlib, LocalFaces()) as client:
            response = await predict(client, self.entries("darkroom-dlib"), RED)
        assert "Served: none" in assert_problem(response, 422, "not-supported")["detail"]

    async def test_boxes_are_in_pixels_of_the_picture_that_was_sent(
        self, services: Services, settings: Settings
    ) -> None:
        finder = LocalFaces()
        large = encoded(a_flat_image((2560, 1280)), "PNG")
        async with asking(services, settings, finder) as client:
            body = (await predict(client, self.entries("darkroom-mobilefacenet"), large)).json()
        assert finder.seen == [(640, 1280)]
        assert body["facial-recognition"][0]["boundingBox"] == {"x1": 8, "y1": 4, "x2": 40, "y2": 36}
        assert (body["imageWidth"], body["imageHeight"]) == (2560, 1280)


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


class TestWhoIsLetIn:
    """By the address alone, since Immich's server can send no key."""

    async def test_it_is_shut_until_it_is_switched_on(self, services: Services, settings: Settings) -> None:
        async with asking(services, settings.model_copy(update={"immich": Immich()})) as client:
            assert_problem(await client.get("/ping"), 404, "not-found")
            assert_problem(await predict(client, VISUAL, RED), 404, "not-found")

    async def test_with_keys_a_server_that_does_not_serve_immich_asks_for_one_there_too(
        self, services: Services, settings: Settings
    ) -> None:
        keyed = with_keys(settings).model_copy(update={"immich": Immich()})
        async with asking(services, keyed) as client:
            assert_problem(await client.get("/ping"), 401, "unauthenticated")
            assert_problem(await predict(client, VISUAL, RED), 401, "unauthenticated")

    @pytest.mark.parametrize("has_keys", [False, True])
    @pytest.mark.parametrize(
        ("networks", "address", "is_let_in"),
        [
            (("127.0.0.0/8",), "127.0.0.1", True),
            (("127.0.0.0/8",), "172.18.0.5", False),
            (("172.16.0.0/12",), "172.18.0.5", True),
            (("172.16.0.0/12",), "127.0.0.1", False),
            (("172.16.0.0/12",), "::ffff:172.18.0.5", True),
            (("fd00::/8",), "fd12::1", True),
            (("fd00::/8",), "2001:db8::1", False),
            (("192.0.2.7",), "192.0.2.7", True),
            (("192.0.2.7",), "192.0.2.8", False),
            ((), "127.0.0.1", False),
            (("0.0.0.0/0",), "no address", False),
        ],
    )
    async def test_only_callers_from_the_networks_are_let_in(
        self,
        services: Services,
        settings: Settings,
        networks: tuple[str, ...],
        address: str,
        is_let_in: bool,
        has_keys: bool,
    ) -> None:
        allowed = Immich.model_validate({"enabled": True, "allow_from": networks})
        chosen = (with_keys(settings) if has_keys else settings).model_copy(update={"immich": allowed})
        async with asking(services, chosen, address=address) as client:
            answers = [await client.get("/ping"), await predict(client, VISUAL, RED)]
        for answer in answers:
            if is_let_in:
                assert answer.status_code == 200
            else:
                assert_problem(answer, 403, "forbidden")

    async def test_what_a_caller_says_of_its_address_is_not_heard(self, services: Services, settings: Settings) -> None:
        headers = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
        async with asking(services, settings, address="203.0.113.9") as client:
            assert_problem(await client.get("/ping", headers=headers), 403, "forbidden")

    async def test_a_key_lets_nobody_in_from_elsewhere(self, services: Services, settings: Settings) -> None:
        keyed = with_keys(settings)
        _, key = await services.users.create("eva", "eva@example.org")
        async with asking(services, keyed, address="203.0.113.9") as client:
            assert_problem(await client.get("/ping", headers=bearer(key)), 403, "forbidden")

    async def test_the_body_of_a_stranger_is_not_read(self, services: Services, settings: Settings) -> None:
        read = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            read = True
            yield b"x"

        async with asking(services, settings, address="203.0.113.9") as client:
            headers = {"content-type": "multipart/form-data; boundary=x"}
            assert_problem(await client.post("/predict", content=body(), headers=headers), 403, "forbidden")
        assert not read

    async def test_no_other_path_is_opened_by_the_network(self, services: Services, settings: Settings) -> None:
        async with asking(services, with_keys(settings)) as client:
            for path in ("/api/v1/history", "/ping/", "/predict/x", "/x/predict", "/sdapi/v1/progress"):
                assert (await client.get(path)).status_code == 401, path

    async def test_a_foreign_page_and_a_foreign_host_are_refused_as_everywhere(
        self, idle_client: httpx.AsyncClient
    ) -> None:
        for headers, status in (({"origin": "https://evil.example"}, 403), ({"host": "evil.example"}, 421)):
            sent = {"entries": json.dumps(TEXTUAL), "text": "red"}
            assert_problem(await idle_client.post("/predict", data=sent, headers=headers), status)

    async def test_it_is_in_no_openapi_document(self, app: FastAPI) -> None:
        async with a_client(app) as client:
            for document in ("/openapi.json", "/openapi/sdapi.json"):
                assert not {"/ping", "/predict"} & set((await client.get(document)).json()["paths"])


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


OCR_MODEL = "PP-OCRv5_mobile"
OCR = {
    "ocr": {
        "detection": {"modelName": OCR_MODEL, "options": {"minScore": 0.4, "maxResolution": 640}},
        "recognition": {"modelName": OCR_MODEL, "options": {"minScore": 0.6}},
    }
}


class Reads(FakeCapabilities):
    """Reads one text in whatever picture, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[tuple[int, ...], TextOptions]] = []

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        self.asked += [(image.shape, options) for image in images]
        corners = ((12.0, 8.0), (48.0, 8.0), (48.0, 16.0), (12.0, 16.0))
        return [[Text(corners, 0.9, "Total 5.00", 0.75)] for _ in images]


class TestText:
    async def test_corners_are_shares_of_the_picture_and_options_are_heeded(
        self, services: Services, settings: Settings
    ) -> None:
        reader = Reads()
        async with asking(services, settings, reader) as client:
            answer = (await predict(client, OCR, RED)).json()
        assert answer["ocr"] == {
            "text": ["Total 5.00"],
            "box": pytest.approx([0.125, 0.125, 0.5, 0.125, 0.5, 0.25, 0.125, 0.25]),
            "boxScore": [0.9],
            "textScore": [0.75],
        }
        assert (answer["imageWidth"], answer["imageHeight"]) == (96, 64)
        assert reader.asked == [((64, 96, 3), TextOptions(0.4, 0.6, max_px=640))]

    async def test_what_the_request_does_not_say_is_as_immich_has_it(
        self, services: Services, settings: Settings
    ) -> None:
        reader = Reads()
        entries = {"ocr": {kind: {"modelName": OCR_MODEL} for kind in ("recognition", "detection")}}
        async with asking(services, settings, reader) as client:
            assert (await predict(client, entries, RED)).status_code == 200
        assert [options for _, options in reader.asked] == [TextOptions(0.5, 0.8, max_px=736)]

    async def test_a_page_is_read_as_it_is_stored(self, services: Services, settings: Settings) -> None:
        reader = Reads()
        async with asking(services, settings, reader) as client:
            await predict(client, OCR, encoded_turned(a_flat_image((96, 64), (9, 9, 9)), 6))
        assert [shape for shape, _ in reader.asked] == [(96, 64, 3)], "on its side, as the file has it"

    @pytest.mark.parametrize("name", ["KOREAN__PP-OCRv5_mobile", "PP-OCRv6_mobile"])
    async def test_another_model_is_refused_by_name(self, services: Services, settings: Settings, name: str) -> None:
        reader = Reads()
        entries = {"ocr": {"detection": {"modelName": OCR_MODEL}, "recognition": {"modelName": name}}}
        async with asking(services, settings, reader) as client:
            problem = assert_problem(await predict(client, entries, RED), 422, "not-supported")
        assert name in problem["detail"]
        assert OCR_MODEL in problem["detail"]
        assert reader.asked == []

    @pytest.mark.parametrize(
        ("entries", "status"),
        [
            ({"recognition": {"modelName": OCR_MODEL}}, 400),
            ({"detection": {"modelName": OCR_MODEL}}, 422),
            ({**OCR["ocr"], "detection": {"modelName": OCR_MODEL, "options": {"maxResolution": 8}}}, 422),
            ({**OCR["ocr"], "detection": {"modelName": OCR_MODEL, "options": {"maxResolution": "736"}}}, 422),
            ({**OCR["ocr"], "recognition": {"modelName": OCR_MODEL, "options": {"minScore": 2}}}, 422),
        ],
    )
    async def test_what_makes_no_sense_is_refused_before_anything_is_read(
        self, services: Services, settings: Settings, entries: Any, status: int
    ) -> None:
        reader = Reads()
        async with asking(services, settings, reader) as client:
            assert (await predict(client, {"ocr": entries}, RED)).status_code == status
            assert (await predict(client, OCR, text="no picture")).status_code == 400
        assert reader.asked == []
