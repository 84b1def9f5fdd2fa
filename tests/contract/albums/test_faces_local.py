"""Detections of the local face engine on images with and without faces."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from configs.settings import PERSON_CUTS, FaceOptions, Settings
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.engines.faces.embedder import NETWORKS
from deployments.engines.faces.local import LocalFaceEngine
from deployments.engines.faces.locator import FaceLocator
from deployments.errors import WeightsMissing
from deployments.faces import FacesDeployment
from tests.support.builders import a_photo

BOX = np.array([172, 62, 276, 166])
"""The astronaut's face in the photograph, 512 pixels wide."""


@pytest.fixture(scope="module", params=list(NETWORKS))
def engine(request: pytest.FixtureRequest) -> LocalFaceEngine:
    settings = Settings()
    return LocalFaceEngine(settings.weights_dir, FaceLocator(settings.weights_dir), request.param)


@pytest.fixture(scope="module")
def astronaut(engine: LocalFaceEngine) -> Face:
    (face,) = engine.find(a_photo("astronaut"))
    return face


def centre_of(face: Face) -> np.ndarray:
    return np.array([face.bbox[0] + face.bbox[2], face.bbox[1] + face.bbox[3]]) / 2


def distance(left: Face, right: Face) -> float:
    """Distance of two faces as a share of their network's cut."""
    cut = PERSON_CUTS["dlib" if len(left.embedding) == 128 else "mobilefacenet"]
    return float(np.linalg.norm(left.embedding - right.embedding)) / cut


def rotated(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.7)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


@pytest.mark.weights
def test_a_face_is_found_where_it_is_with_full_quality(astronaut: Face) -> None:
    np.testing.assert_allclose(astronaut.bbox, BOX, atol=12)
    assert astronaut.score > 0.99
    assert astronaut.quality > 0.95
    eyes = astronaut.landmarks[[33, 133, 362, 263]].mean(axis=0)
    np.testing.assert_allclose(eyes, [224, 108], atol=8)


@pytest.mark.weights
@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "horse", "brick", "page", "moon", "coins"])
def test_cats_cups_rockets_and_texts_are_no_faces(engine: LocalFaceEngine, name: str) -> None:
    assert engine.find(a_photo(name)) == []


@pytest.mark.weights
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_shows_the_same_person_in_its_own_pixels(
    engine: LocalFaceEngine, astronaut: Face, turns: int
) -> None:
    (face,) = engine.find(np.rot90(a_photo("astronaut"), turns))
    expected = {1: (114, 288), 2: (288, 398), 3: (398, 224)}[turns]
    np.testing.assert_allclose(centre_of(face), expected, atol=12)
    assert distance(face, astronaut) < 0.38


@pytest.mark.weights
@pytest.mark.parametrize("degrees", [-60, -30, 30, 60])
def test_a_tilted_head_is_the_same_person(engine: LocalFaceEngine, astronaut: Face, degrees: float) -> None:
    (face,) = engine.find(rotated(a_photo("astronaut"), degrees))
    assert distance(face, astronaut) < 0.51


@pytest.mark.weights
def test_a_person_in_grey_is_the_same_person(engine: LocalFaceEngine, astronaut: Face) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(a_photo("astronaut"), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    (face,) = engine.find(np.asarray(grey))
    assert distance(face, astronaut) < 0.51


@pytest.mark.weights
def test_a_face_that_fills_the_picture_is_found(engine: LocalFaceEngine, astronaut: Face) -> None:
    (face,) = engine.find(a_photo("astronaut")[40:190, 150:300])
    np.testing.assert_allclose(centre_of(face), centre_of(astronaut) - [150, 40], atol=12)
    assert distance(face, astronaut) < 0.51


@pytest.mark.weights
def test_a_small_face_in_a_large_picture_is_found(engine: LocalFaceEngine, astronaut: Face) -> None:
    large = np.full((960, 1280, 3), 120, np.uint8)
    large[700:840, 1000:1140] = a_photo("astronaut", 140)
    (face,) = engine.find(large)
    np.testing.assert_allclose(centre_of(face), [1000 + 224 * 140 / 512, 700 + 114 * 140 / 512], atol=6)
    assert 0.2 < face.quality < astronaut.quality


@pytest.mark.weights
def test_every_face_of_a_group_is_found_once(engine: LocalFaceEngine) -> None:
    tile = a_photo("astronaut", 256)[:, 40:200]
    found = engine.find(np.tile(tile, (2, 4, 1)))
    assert len(found) == 8
    assert len({tuple(np.round(centre_of(face) / 40)) for face in found}) == 8


@pytest.mark.weights
def test_a_blurred_and_a_tiny_face_have_too_little_quality_for_the_default_gate(engine: LocalFaceEngine) -> None:
    blurred = cv2.GaussianBlur(a_photo("astronaut"), (0, 0), 6)
    tiny = cv2.resize(a_photo("astronaut"), (60, 60), interpolation=cv2.INTER_AREA)
    for picture in (blurred, tiny):
        assert all(face.quality < Settings().faces.min_quality for face in engine.find(np.asarray(picture)))


@pytest.mark.weights
def test_a_profile_has_little_quality(engine: LocalFaceEngine) -> None:
    assert all(face.quality < Settings().faces.min_quality for face in engine.find(a_photo("camera")))


@pytest.mark.weights
def test_a_minimum_score_that_no_face_reaches_finds_none() -> None:
    folder = Settings().weights_dir
    impossible = LocalFaceEngine(folder, FaceLocator(folder, min_score=1.01))
    assert impossible.find(a_photo("astronaut")) == []


@pytest.mark.parametrize(
    ("network", "name"), [(each, name) for each in NETWORKS for name in LocalFaceEngine.files(each)]
)
def test_missing_weights_are_named_with_their_setting(
    tmp_path: Path, network: Literal["mobilefacenet", "dlib"], name: str
) -> None:
    for other in LocalFaceEngine.files(network):
        if other != name:
            (tmp_path / other).touch()
    with pytest.raises(WeightsMissing, match="DARKROOM_WEIGHTS_DIR") as caught:
        FacesDeployment(Settings(weights_dir=tmp_path, faces=FaceOptions(engine="local", network=network)))
    assert name in caught.value.message
