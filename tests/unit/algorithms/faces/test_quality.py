"""Face quality: size, sharpness, pose, visibility and certainty."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.faces.alignment import MESH_FIVE, MESH_POINTS
from deployments.algorithms.faces.quality import (
    FaceQuality,
    judge_face,
    landmark_agreement,
    landmark_disagreement,
    sharpness,
    turn_degrees,
    turn_degrees_of_five,
    visible_share,
)
from tests.support.builders import a_flat_image, a_photo

FIVE = np.array([[30, 40], [70, 40], [50, 60], [36, 80], [64, 80]], np.float32)
SHARES = st.floats(0, 1)


def a_chip() -> np.ndarray:
    """A face at about the size that recognition sees."""
    return cv2.resize(a_photo("astronaut")[50:190, 155:295], (150, 150), interpolation=cv2.INTER_AREA)


def a_head(yaw_deg: float = 0.0, pitch_deg: float = 0.0, seed: int = 0) -> np.ndarray:
    """Points on a ball in front, turned to the person's side and up, as a face mesh."""
    mesh = np.random.default_rng(seed).uniform(-1, 1, (MESH_POINTS, 3))
    mesh[[454, 323, 361]], mesh[[234, 93, 132]] = (1, 0, 0.5), (-1, 0, 0.5)
    mesh[10], mesh[152] = (0, -1, 0), (0, 1, 0)
    for group, point in zip(MESH_FIVE, ((-0.4, -0.3), (0.4, -0.3), (0, 0.1), (-0.3, 0.5), (0.3, 0.5)), strict=True):
        mesh[list(group), :2] = point
    mesh[[33, 133, 263, 362], 0] = -0.5, -0.3, 0.5, 0.3
    yaw, pitch = np.radians(yaw_deg), np.radians(pitch_deg)
    aside = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    up = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return (mesh @ (aside @ up).T * 50 + 100).astype(np.float32)


def judged(chip: np.ndarray, width: float = 100, turn_deg: float = 0, certainty: float = 1) -> FaceQuality:
    box = np.array([0, 0, width, width * 0.9], np.float32)
    return judge_face(np.zeros((200, 200, 3), np.uint8), chip, box, FIVE, turn_deg, certainty)


def test_a_large_sharp_frontal_face_has_full_quality() -> None:
    assert judged(a_chip()).value == 1


def test_a_face_that_is_too_small_is_under_the_default_gate() -> None:
    assert judged(a_chip(), width=12).value < 0.2 < judged(a_chip(), width=24).value


@pytest.mark.parametrize("kernel", [(1, 41), (41, 1)])
def test_motion_in_any_direction_lowers_a_faces_sharpness(kernel: tuple[int, int]) -> None:
    moved = cv2.blur(a_chip(), kernel)
    assert sharpness(moved) < 0.75 * sharpness(a_chip())


def test_a_faces_sharpness_falls_with_blur_and_a_hopelessly_blurred_face_is_gated() -> None:
    values = [sharpness(cv2.GaussianBlur(a_chip(), (0, 0), sigma)) for sigma in (1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert judged(cv2.GaussianBlur(a_chip(), (0, 0), 8)).value < 0.2


def test_noise_does_not_pass_for_a_faces_sharpness() -> None:
    blurred = cv2.GaussianBlur(a_chip(), (0, 0), 8)
    noisy = np.clip(blurred + np.random.default_rng(0).normal(0, 8, blurred.shape), 0, 255).astype(np.uint8)
    assert judged(noisy).value < 0.5


@pytest.mark.parametrize("gain", [0.3, 0.7])
def test_a_faces_sharpness_does_not_depend_on_how_dark_an_image_is(gain: float) -> None:
    assert sharpness((a_chip() * gain).astype(np.uint8)) == pytest.approx(sharpness(a_chip()), rel=0.1)


def test_a_chip_without_any_structure_has_no_sharpness() -> None:
    assert sharpness(a_flat_image((150, 150))) == 0


@pytest.mark.parametrize(
    ("yaw", "pitch", "expected"), [(0, 0, 0), (40, 0, 40), (-70, 0, 70), (0, 25, 25), (0, -50, 50)]
)
def test_the_turn_of_a_head_is_read_from_its_mesh(yaw: float, pitch: float, expected: float) -> None:
    assert turn_degrees(a_head(yaw, pitch)) == pytest.approx(expected, abs=0.5)


def test_a_mesh_without_extent_counts_as_turned_away() -> None:
    assert turn_degrees(np.zeros((MESH_POINTS, 3), np.float32)) == 90
    assert turn_degrees_of_five(np.zeros((5, 2), np.float32)) == 90


def test_a_nose_that_leaves_the_middle_shows_a_turn_to_either_side() -> None:
    aside = FIVE.copy()
    assert turn_degrees_of_five(FIVE) == 0
    aside[2, 0] += 30
    assert turn_degrees_of_five(aside) == pytest.approx(45, abs=0.1)
    aside[2, 0] -= 60
    assert turn_degrees_of_five(aside) == pytest.approx(45, abs=0.1)


def test_a_profile_is_under_the_default_gate_and_a_half_profile_is_not() -> None:
    assert judged(a_chip(), turn_deg=70).value < 0.2 < judged(a_chip(), turn_deg=45).value


def test_landmarks_of_networks_that_see_the_same_parts_agree() -> None:
    mesh = a_head()
    five = np.stack([mesh[list(group), :2].mean(axis=0) for group in MESH_FIVE])
    assert landmark_disagreement(mesh, five) == pytest.approx(0, abs=1e-6)
    assert landmark_agreement(mesh, five) == 1


def test_landmarks_of_networks_that_see_a_face_upside_down_to_each_other_do_not_agree() -> None:
    mesh = a_head()
    five = np.stack([mesh[list(group), :2].mean(axis=0) for group in MESH_FIVE])
    assert landmark_agreement(mesh, five[[1, 0, 2, 4, 3]] * [1, -1] + [0, 200]) == 0


def test_a_face_half_out_of_the_image_loses_visibility() -> None:
    image = np.zeros((100, 50, 3), np.uint8)
    assert visible_share(FIVE, image) == pytest.approx(0.4)
    assert judge_face(image, a_chip(), np.array([0, 0, 99, 99], np.float32), FIVE, 0, 1).value == 0


@given(SHARES, SHARES, SHARES, SHARES, SHARES)
def test_face_quality_is_never_above_its_weakest_part(a: float, b: float, c: float, d: float, e: float) -> None:
    value = FaceQuality(a, b, c, d, e).value
    assert 0 <= value <= min(a, b, c, d, e) + 1e-9
