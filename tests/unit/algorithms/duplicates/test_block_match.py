"""Block-wise comparison of registered images."""

import cv2
import numpy as np
import pytest

from deployments.algorithms.duplicates.block_match import (
    CommonFrame,
    block_agreement,
    common_frame,
    lost_structure,
    median_shift,
    moved_content,
)
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.registration import Alignment
from tests.support import duplicate_pictures as pictures


def frame(left, right):
    return CommonFrame(left.astype(np.float32), right.astype(np.float32), np.ones(left.shape, np.float32))


@pytest.fixture
def gray():
    return cv2.cvtColor(pictures.resized(pictures.photo("astronaut"), 256), cv2.COLOR_RGB2GRAY).astype(np.float32)


def lost(left, right):
    return lost_structure(frame(left, right), block_px=15, lost_share=0.5, hidden_by=1.5)


def test_blocks_of_an_image_agree_with_themselves_and_with_their_negative(gray):
    assert block_agreement(frame(gray, gray)) == 1
    assert block_agreement(frame(gray, 255 - gray)) == 1


def test_blocks_of_another_image_do_not_agree(gray):
    assert block_agreement(frame(gray, gray[::-1])) < 0.4


def test_blocks_without_texture_do_not_agree():
    flat = np.full((100, 100), 90.0)
    assert block_agreement(frame(flat, flat)) == 0


def test_structure_that_was_painted_over_is_lost_on_one_side_only(gray):
    painted = gray.copy()
    painted[60:140, 60:140] = cv2.GaussianBlur(gray, (0, 0), 30)[60:140, 60:140]
    result = lost(gray, painted)
    assert result.of_left > 0.02
    assert result.of_right < result.of_left / 3


def test_exchanged_content_loses_structure_on_both_sides(gray):
    other = gray.copy()
    other[60:140, 60:140] = gray[60:140, 60:140].T
    result = lost(gray, other)
    assert result.both > 0.02
    assert result.any >= result.both


def test_swapping_the_images_swaps_the_losses(gray):
    blurred = cv2.GaussianBlur(gray, (0, 0), 4)
    forward, backward = lost(gray, blurred), lost(blurred, gray)
    assert forward.of_left == pytest.approx(backward.of_right, abs=0.02)
    assert forward.of_right == pytest.approx(backward.of_left, abs=0.02)


@pytest.mark.parametrize("shift", [0, 2, 4])
def test_the_shift_of_an_image_is_measured(gray, shift):
    assert median_shift(frame(gray[:, 8:-8], gray[:, 8 - shift : -8 - shift])) == pytest.approx(shift, abs=0.1)


def test_no_shift_is_claimed_of_images_without_corners():
    assert median_shift(frame(np.full((80, 80), 9.0), np.full((80, 80), 9.0))) == 0


def test_content_that_moved_is_found_again(gray):
    other = gray.copy()
    other[60:140, 66:146] = gray[60:140, 60:140]
    assert moved_content(frame(gray, other)) > 0.02
    assert moved_content(frame(gray, gray)) == 0


def test_the_common_frame_shows_the_same_at_the_same_place():
    photo = pictures.photo("coffee")
    left, right = describe(photo), describe(pictures.cropped(photo, 0.6))
    # How the crop was cut: 30 % of what is left over from above, 70 % from the left.
    scale = right.pixels.shape[1] / (left.pixels.shape[1] * 0.6)
    corner = np.array([0.4 * 0.7 * left.pixels.shape[1], 0.4 * 0.3 * left.pixels.shape[0]])
    matrix = np.column_stack([np.eye(2) * scale, -corner * scale])
    found = common_frame(Alignment(left, right, matrix, 100, 0.1), 256)
    assert found is not None
    assert max(found.left.shape) <= 256
    assert block_agreement(found) > 0.95
    assert median_shift(found) < 1


def test_frames_that_do_not_meet_have_no_common_part():
    features = describe(pictures.photo("coffee"))
    far = np.array([[1.0, 0, 5000], [0, 1, 0]])
    assert common_frame(Alignment(features, features, far, 100, 0.1), 256) is None
