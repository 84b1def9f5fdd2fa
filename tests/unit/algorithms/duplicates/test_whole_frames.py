"""Whole images laid on one another, and maps through tracked corners."""

import cv2
import numpy as np
import pytest

from deployments.algorithms.duplicates.maps import corners_of, project
from deployments.algorithms.duplicates.tracking import fit_map
from deployments.algorithms.duplicates.whole_frames import lay_frames
from tests.support import duplicate_pictures as pictures


@pytest.fixture
def gray():
    return cv2.cvtColor(pictures.resized(pictures.photo("astronaut"), 384), cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_squeezed_image_is_laid_corner_on_corner_in_each_of_eight_positions(gray, turns, is_mirrored):
    squeezed = cv2.resize(gray[:, :300], (170, 384), interpolation=cv2.INTER_AREA)
    source = np.ascontiguousarray(squeezed[:, ::-1]) if is_mirrored else squeezed
    target = np.ascontiguousarray(np.rot90(squeezed, turns))
    found = lay_frames(source, target)
    assert found is not None
    assert found[0] == is_mirrored
    expected = np.roll(corners_of(target.shape), turns, axis=0)
    assert np.abs(project(found[1].matrix, corners_of(source.shape)) - expected).max() < 2


def test_unlike_images_are_not_laid_on_one_another(gray):
    other = cv2.cvtColor(pictures.resized(pictures.photo("coffee"), 384), cv2.COLOR_RGB2GRAY)
    assert lay_frames(gray, other) is None


def test_a_slight_perspective_is_found_to_a_fraction_of_a_pixel(gray):
    matrix = np.array([[1.02, 0.01, 2.0], [-0.01, 0.98, -3.0], [6e-5, -4e-5, 1.0]])
    seen = cv2.warpPerspective(gray, matrix, gray.shape[::-1], flags=cv2.INTER_CUBIC)
    found = fit_map(gray, seen, np.eye(3))
    assert found is not None
    middle = corners_of(gray.shape) * 0.6 + 70
    assert np.abs(project(found.matrix, middle) - project(matrix, middle)).max() < 0.3
    assert found.residual_px < 0.3


def test_images_without_corners_give_no_map():
    flat = np.full((200, 300), 90, np.uint8)
    assert fit_map(flat, flat, np.eye(3)) is None
    assert lay_frames(flat, flat) is None
