"""Immich's machine learning: faces by the local network, whose vectors are others than Immich's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from configs.settings import FaceOptions, Immich, Settings
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from serve_app.services.container import Services
from tests.api.conftest import assert_problem
from tests.api.immich.asking import RED, TWO_FACES, asking, predict, said, vector
from tests.support.builders import a_flat_image, encoded
from tests.support.fakes import FakeCapabilities


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
