"""Immich's facial recognition over the real local network."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from configs.settings import Immich, Settings
from deployments.contracts.arrays import Image
from deployments.faces import FacesDeployment
from serve_app.services.immich.service import ImmichService
from serve_app.telemetry import Metrics
from tests.support.builders import a_photo, encoded
from tests.support.fakes import FakeCapabilities

NAME = "darkroom-mobilefacenet"
ENTRIES = json.dumps({"facial-recognition": {kind: {"modelName": NAME} for kind in ("recognition", "detection")}})
BOX = np.array([172, 62, 276, 166])
"""The astronaut's face in the photograph, 512 pixels wide."""
MAX_DISTANCE = 0.5
"""Immich's default."""
pytestmark = pytest.mark.weights


class RealFaces(FakeCapabilities):
    """The local face engine behind the capability."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.find_faces = FacesDeployment(settings).find_faces  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def service() -> ImmichService:
    settings = Settings(immich=Immich(enabled=True))
    return ImmichService(RealFaces(settings), settings, Metrics("test"))


async def faces(service: ImmichService, image: Image) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await service.predict(ENTRIES, encoded(image), None))["facial-recognition"]
    return found


def box(face: dict[str, Any]) -> np.ndarray:
    return np.array([face["boundingBox"][edge] for edge in ("x1", "y1", "x2", "y2")])


def vector(face: dict[str, Any]) -> np.ndarray:
    return np.array(json.loads(face["embedding"]), np.float32)


async def test_a_face_is_found_where_it_is(service: ImmichService) -> None:
    [face] = await faces(service, a_photo("astronaut"))
    np.testing.assert_allclose(box(face), BOX, atol=12)
    assert face["score"] > 0.99
    assert vector(face).shape == (512,)


async def test_in_a_picture_larger_than_it_is_looked_at_a_face_is_where_it_is_there(service: ImmichService) -> None:
    large = cv2.resize(a_photo("astronaut"), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    [face] = await faces(service, np.asarray(large, np.uint8))
    np.testing.assert_allclose(box(face), 4 * BOX, atol=48)


async def test_copies_of_a_face_lie_well_within_immichs_distance(service: ImmichService) -> None:
    photo = a_photo("astronaut")
    copies = (photo[:, ::-1], (photo * 0.6).astype(np.uint8), np.asarray(cv2.resize(photo, (256, 256)), np.uint8))
    [own] = await faces(service, photo)
    for copy in copies:
        [other] = await faces(service, np.ascontiguousarray(copy))
        assert 1 - float(vector(own) @ vector(other)) < MAX_DISTANCE / 2


async def test_a_photo_without_a_face_has_none(service: ImmichService) -> None:
    assert await faces(service, a_photo("coffee")) == []
