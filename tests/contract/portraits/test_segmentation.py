"""The local segmentation engine and its deployment: faces, landmarks and masks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import LOCAL_SEGMENTATION, OPTIONAL_LANDMARKS, REQUIRED_LANDMARKS, Segmentation
from deployments.engines.faces.embedder import NETWORKS
from deployments.engines.faces.local import LocalFaceEngine
from deployments.engines.segmentation.local import LocalSegmenter
from deployments.errors import InvalidRequest, WeightsMissing
from deployments.faces import FacesDeployment, make_locator
from deployments.segmentation import SegmentationDeployment
from tests.support.builders import a_flat_image, a_photo, an_image
from tests.support.faces import a_face

EYES = np.array([[204, 102], [246, 105]])
"""Of the astronaut in the photograph, 512 pixels wide, the viewer's left first."""
CHIN, HAIR, CHEEK, NECK = (222, 177), (220, 45), (200, 135), (222, 195)
LEFT_WALL, SUIT = (100, 60), (150, 350)
SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 400), (400, 3), (64, 64)]


@pytest.fixture(scope="module")
def engine() -> LocalSegmenter:
    settings = Settings()
    return LocalSegmenter(settings.weights_dir, make_locator(settings))


@pytest.fixture(scope="module")
def astronaut(engine: LocalSegmenter) -> Segmentation:
    return engine.segment(a_photo("astronaut"))


def overlap(left: np.ndarray, right: np.ndarray) -> float:
    """Compute the intersection over union of two soft masks."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    return float(low.sum(dtype=np.int64) / high.sum(dtype=np.int64))


def pasted(*places: tuple[int, int, float, float]) -> tuple[Image, list[np.ndarray]]:
    """Astronauts on a photograph of coffee: x and y of the picture's middle, scale, degrees clockwise -> the picture
    and the matrix of each."""
    photo, image = a_photo("astronaut"), cv2.resize(a_photo("coffee"), (1200, 800))
    matrices = []
    for x, y, scale, degrees in places:
        matrix = cv2.getRotationMatrix2D((256, 256), -degrees, scale)
        matrix[:, 2] += (x - 256, y - 256)
        inside = cv2.warpAffine(np.full((512, 512), 255, np.uint8), matrix, (1200, 800), flags=cv2.INTER_NEAREST) > 0
        image[inside] = cv2.warpAffine(photo, matrix, (1200, 800))[inside]
        matrices.append(matrix)
    return np.asarray(image, np.uint8), matrices


@pytest.mark.weights
def test_the_face_has_every_landmark_and_stands_upright(astronaut: Segmentation) -> None:
    (face,) = astronaut.faces
    assert set(face.landmarks) == {*REQUIRED_LANDMARKS, *OPTIONAL_LANDMARKS}
    np.testing.assert_allclose([face.landmarks["left_eye"], face.landmarks["right_eye"]], EYES, atol=4)
    np.testing.assert_allclose(face.landmarks["chin"], CHIN, atol=5)
    assert face.score > 0.99
    assert abs(face.roll) < 8
    assert abs(face.yaw) < 10
    assert (face.outline.dtype, face.outline.shape[1]) == (np.float32, 2)


@pytest.mark.weights
def test_the_face_mask_has_skin_and_neither_hair_nor_neck_nor_wall(astronaut: Segmentation) -> None:
    for x, y in (*EYES, CHEEK):
        assert astronaut.face_mask[y, x] == 255
    for x, y in (HAIR, NECK, LEFT_WALL, SUIT):
        assert astronaut.face_mask[y, x] == 0


@pytest.mark.weights
def test_the_person_mask_has_hair_and_clothes_and_no_wall(astronaut: Segmentation) -> None:
    for x, y in (HAIR, CHEEK, SUIT):
        assert astronaut.person_mask[y, x] > 250
    assert astronaut.person_mask[LEFT_WALL[::-1]] < 5


@pytest.mark.weights
def test_masks_have_soft_edges(astronaut: Segmentation) -> None:
    for mask in (astronaut.face_mask, astronaut.person_mask):
        between = ((mask > 10) & (mask < 245)).sum()
        assert between > 0.2 * np.sqrt(float((mask > 127).sum()))


@pytest.mark.weights
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_has_the_same_masks_turned(
    engine: LocalSegmenter, astronaut: Segmentation, turns: int
) -> None:
    found = engine.segment(np.ascontiguousarray(np.rot90(a_photo("astronaut"), turns)))
    assert overlap(found.face_mask, np.rot90(astronaut.face_mask, turns)) > 0.93
    assert overlap(found.person_mask, np.rot90(astronaut.person_mask, turns)) > 0.93
    (face,), (upright,) = found.faces, astronaut.faces
    assert (face.roll - upright.roll + 90 * turns + 180) % 360 - 180 == pytest.approx(0, abs=4)


@pytest.mark.weights
@pytest.mark.parametrize("px", [128, 256])
def test_a_small_picture_has_the_same_masks_small(engine: LocalSegmenter, astronaut: Segmentation, px: int) -> None:
    found = engine.segment(a_photo("astronaut", px))
    small = [cv2.resize(mask, (px, px), interpolation=cv2.INTER_AREA) for mask in (astronaut.face_mask,)]
    assert overlap(found.face_mask, small[0]) > 0.85


@pytest.mark.weights
def test_a_grey_picture_has_nearly_the_same_face(engine: LocalSegmenter, astronaut: Segmentation) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(a_photo("astronaut"), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert overlap(engine.segment(np.asarray(grey)).face_mask, astronaut.face_mask) > 0.9


@pytest.mark.weights
def test_three_people_in_one_picture_are_each_cut_out(engine: LocalSegmenter, astronaut: Segmentation) -> None:
    image, matrices = pasted((250, 300, 0.7, 0), (700, 250, 0.45, 35), (1000, 550, 0.6, -80))
    found = engine.segment(image)
    assert len(found.faces) == 3
    for matrix in matrices:
        eyes = EYES @ matrix[:, :2].T + matrix[:, 2]
        errors = [
            np.abs(np.array([face.landmarks["left_eye"], face.landmarks["right_eye"]]) - eyes).max()
            for face in found.faces
        ]
        assert min(errors) < 4
        face, person = (
            cv2.warpAffine(mask, matrix, (1200, 800)) for mask in (astronaut.face_mask, astronaut.person_mask)
        )
        near = cv2.dilate(face, np.ones((31, 31), np.uint8)) > 0
        assert overlap(found.face_mask * near, face) > 0.8
        body = cv2.erode(np.asarray(person), np.ones((9, 9), np.uint8)) > 250
        head = near & body
        assert found.person_mask[head].mean() > 230


@pytest.mark.weights
@pytest.mark.parametrize("left", [150, 205, 215])
def test_a_face_that_the_border_cuts_has_masks_up_to_the_border(engine: LocalSegmenter, left: int) -> None:
    image = np.ascontiguousarray(a_photo("astronaut")[:, left:])
    found = engine.segment(image)
    assert found.faces
    assert found.face_mask.shape == image.shape[:2]
    assert found.face_mask[130, max(0, 200 - left)] > 250


@pytest.mark.weights
@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_a_few_pixels_show_nobody(engine: LocalSegmenter, size: tuple[int, int]) -> None:
    found = engine.segment(an_image(size))
    assert not found.faces
    assert not found.face_mask.any()
    assert found.face_mask.shape == found.person_mask.shape == size[::-1]


@pytest.mark.weights
@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "page"])
def test_cats_cups_rockets_and_texts_have_no_face_mask(engine: LocalSegmenter, name: str) -> None:
    found = engine.segment(a_photo(name))
    assert not found.faces
    assert not found.face_mask.any()


@pytest.mark.weights
def test_a_crowd_of_small_faces_is_segmented(engine: LocalSegmenter) -> None:
    tile = a_photo("astronaut", 256)[:, 40:200]
    found = engine.segment(np.tile(tile, (6, 10, 1)))
    assert len(found.faces) >= 54
    for face in found.faces:
        x, y = (round(value) for value in face.landmarks["nose_tip"])
        assert found.face_mask[y, x] > 200
        assert found.person_mask[y, x] > 200


@pytest.mark.weights
def test_faces_that_another_engine_found_get_masks_too(engine: LocalSegmenter, astronaut: Segmentation) -> None:
    """With the landmarks that every vendor has, and a rough outline."""
    found = engine.mask(a_photo("astronaut"), [a_face(223, 104, 73, roll=4)])
    assert overlap(found.face_mask, astronaut.face_mask) > 0.8
    assert overlap(found.person_mask, astronaut.person_mask) > 0.95


@pytest.mark.weights
def test_segmentations_side_by_side_equal_those_of_single_calls(
    engine: LocalSegmenter, astronaut: Segmentation
) -> None:
    async def both() -> list[Segmentation]:
        calls = [asyncio.to_thread(engine.segment, a_photo("astronaut")) for _ in range(4)]
        return list(await asyncio.gather(*calls))

    for found in asyncio.run(both()):
        np.testing.assert_array_equal(found.face_mask, astronaut.face_mask)
        np.testing.assert_array_equal(found.person_mask, astronaut.person_mask)


@pytest.mark.weights
async def test_the_deployment_segments_and_is_healthy() -> None:
    deployment = SegmentationDeployment(Settings())
    await deployment.check_health()
    found = await deployment.segment_portrait(LOCAL_SEGMENTATION, a_photo("astronaut", 256))
    assert len(found.faces) == 1
    assert (await deployment.segment_portrait(LOCAL_SEGMENTATION, a_flat_image())).faces == ()
    await deployment.aclose()


@pytest.mark.weights
async def test_an_engine_that_is_none_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        await SegmentationDeployment(Settings()).segment_portrait("nobody", a_flat_image())


@pytest.mark.weights
async def test_faces_and_segmentation_find_the_same_faces_with_one_locator() -> None:
    settings = Settings()
    locator = make_locator(settings)
    photo = a_photo("astronaut", 320)
    [faces] = await FacesDeployment(settings, locator).find_faces([photo])
    found = await SegmentationDeployment(settings, locator).segment_portrait(LOCAL_SEGMENTATION, photo)
    assert [face.bbox for face in found.faces] == [face.bbox for face in faces]
    assert [face.score for face in found.faces] == [face.score for face in faces]


@pytest.mark.parametrize("name", LocalSegmenter.files)
def test_missing_weights_are_named_with_their_setting(tmp_path: Path, name: str) -> None:
    for other in LocalSegmenter.files:
        if other != name:
            (tmp_path / other).touch()
    with pytest.raises(WeightsMissing, match="DARKROOM_WEIGHTS_DIR") as caught:
        SegmentationDeployment(Settings(weights_dir=tmp_path))
    assert name in caught.value.message


def test_segmentation_needs_no_recognition_network() -> None:
    for network, its_class in NETWORKS.items():
        assert set(LocalFaceEngine.files(network)) - set(LocalSegmenter.files) == set(its_class.files)


def test_no_model_runtime_is_imported_before_an_engine_is_made() -> None:
    code = (
        "import sys, deployments.segmentation; "
        "print(sorted({'onnxruntime', 'ai_edge_litert', 'boto3', 'google.cloud.vision'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
