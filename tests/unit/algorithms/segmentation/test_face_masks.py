"""Face masks: skin without hair over it, within the person."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.faces.frame import frame_of
from deployments.algorithms.segmentation.face_masks import face_mask
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import SegmentedFace
from tests.support.builders import an_image
from tests.support.faces import a_face

SIDE = 320
PALE, TANNED, DARK, GREY = (232, 190, 170), (190, 130, 100), (96, 66, 54), (170, 170, 170)
HAIR = {PALE: (90, 60, 30), TANNED: (30, 25, 22), DARK: (18, 16, 16), GREY: (60, 60, 60)}


def a_portrait(face: SegmentedFace, skin: tuple[int, int, int], fringe: float) -> Image:
    """A flat face with noise on blue; hair reaches down to `fringe` in the face's own units."""
    image = np.full((SIDE, SIDE, 3), (60, 90, 150), np.uint8)
    frame = frame_of(face)
    head = frame.pixels(np.array([[1.0 * np.sin(a), 0.15 - 1.1 * np.cos(a)] for a in np.linspace(0, 6.28, 60)]))
    cv2.fillPoly(image, [np.round(head).astype(np.int32)], HAIR[skin])
    skin_mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(skin_mask, [np.round(face.outline).astype(np.int32)], 255)
    below = frame.pixels(np.array([[-3, fringe], [3, fringe], [3, 3], [-3, 3]]))
    shown = np.zeros_like(skin_mask)
    cv2.fillPoly(shown, [np.round(below).astype(np.int32)], 255)
    image[(skin_mask & shown) > 0] = skin
    noise = np.random.default_rng(1).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def share(mask: np.ndarray, face: SegmentedFace, low: float, high: float) -> float:
    """Mean of the mask in the middle of the face, between two heights in its own units."""
    frame = frame_of(face)
    right, down = np.meshgrid(np.linspace(-0.25, 0.25, 9), np.linspace(low, high, 9))
    places = np.round(frame.pixels(np.stack([right.ravel(), down.ravel()], axis=1))).astype(int)
    return float(mask[places[:, 1], places[:, 0]].mean() / 255)


EVERYBODY = np.full((SIDE, SIDE), 255, np.uint8)


@pytest.mark.parametrize("skin", [PALE, TANNED, DARK, GREY], ids=["pale", "tanned", "dark", "grey"])
@pytest.mark.parametrize("roll", [0, 40, 90, -135, 180])
def test_a_fringe_is_left_out_of_a_face_mask_and_the_skin_below_it_is_not(
    skin: tuple[int, int, int], roll: float
) -> None:
    face = a_face(160, 160, 60, roll)
    mask = face_mask(a_portrait(face, skin, fringe=-0.3), [face], EVERYBODY)
    assert share(mask, face, -0.55, -0.4) < 0.1
    assert share(mask, face, -0.15, 0.9) > 0.95


@pytest.mark.parametrize("skin", [PALE, TANNED, DARK, GREY], ids=["pale", "tanned", "dark", "grey"])
def test_a_bare_forehead_belongs_to_the_face_mask(skin: tuple[int, int, int]) -> None:
    face = a_face(160, 160, 60)
    mask = face_mask(a_portrait(face, skin, fringe=-0.7), [face], EVERYBODY)
    assert share(mask, face, -0.45, -0.2) > 0.9


def test_dark_glasses_belong_to_the_face_mask() -> None:
    face = a_face(160, 160, 60)
    image = a_portrait(face, PALE, fringe=-0.4)
    for eye in ("left_eye", "right_eye"):
        x, y = (round(value) for value in face.landmarks[eye])
        cv2.rectangle(image, (x - 12, y - 8), (x + 12, y + 8), (20, 20, 20), -1)
    mask = face_mask(image, [face], EVERYBODY)
    for eye in ("left_eye", "right_eye"):
        x, y = (round(value) for value in face.landmarks[eye])
        assert mask[y - 6 : y + 7, x - 8 : x + 9].mean() > 240


def test_no_face_mask_reaches_beyond_the_person() -> None:
    face = a_face(160, 160, 60)
    person = EVERYBODY.copy()
    person[:, 160:] = 0
    mask = face_mask(a_portrait(face, PALE, fringe=-0.4), [face], person)
    assert mask[150:180, 130:150].min() > 240
    assert mask[:, 168:].max() < 20


def test_several_faces_share_one_face_mask() -> None:
    faces = [a_face(90, 150, 40), a_face(230, 150, 40, roll=180)]
    image = np.minimum(a_portrait(faces[0], TANNED, -0.3), 255)
    other = a_portrait(faces[1], TANNED, -0.3)
    image[:, 160:] = other[:, 160:]
    mask = face_mask(image, faces, EVERYBODY)
    assert all(share(mask, face, 0, 0.8) > 0.95 for face in faces)


def test_a_face_mask_without_faces_is_empty() -> None:
    assert not face_mask(an_image((40, 30)), [], np.zeros((30, 40), np.uint8)).any()


@given(
    st.floats(-400, 700),
    st.floats(-400, 700),
    st.floats(0, 700),
    st.floats(-180, 180),
    st.sampled_from([(1, 1), (1, 60), (2, 2), (200, 3), (150, 180)]),
)
@settings(max_examples=60, deadline=None)
def test_any_face_over_any_border_has_a_mask_of_the_images_size(
    x: float, y: float, size: float, roll: float, shape: tuple[int, int]
) -> None:
    image = an_image(shape[::-1])
    mask = face_mask(image, [a_face(x, y, size, roll)], np.full(shape, 255, np.uint8))
    assert (mask.shape, mask.dtype) == (shape, np.uint8)
