"""Image registration and the overlap of frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.duplicates.registration import Alignment, align, flat_corners, match_points, overlap_share
from deployments.contracts.albums import LocalFeatures


def features(points, descriptors, shape=(300, 400)):
    points = np.asarray(points, np.float32)
    return LocalFeatures(np.zeros(shape, np.uint8), points, np.full(len(points), 4, np.float32), descriptors)


def random_features(count, seed):
    draw = np.random.default_rng(seed)
    return draw.uniform((20, 20), (380, 280), (count, 2)), draw.integers(0, 120, (count, 128), dtype=np.uint8)


@settings(max_examples=40, deadline=None)
@given(angle=st.floats(-np.pi, np.pi), scale=st.floats(0.4, 2.5), x=st.floats(-100, 100), strangers=st.integers(0, 40))
def test_the_map_between_turned_scaled_and_moved_points_is_found(angle, scale, x, strangers):
    points, descriptors = random_features(60, 1)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = points @ rotation.T + (x, 30)
    other_points, other_descriptors = random_features(strangers, 2)
    left = features(points, descriptors)
    right = features(
        np.concatenate([moved, other_points]).reshape(-1, 2), np.concatenate([descriptors, other_descriptors])
    )
    found = align(left, right)
    assert found is not None
    assert found.inliers == 60
    assert found.residual_px < 0.1
    assert np.abs(points @ found.matrix[:, :2].T + found.matrix[:, 2] - moved).max() < 0.1
    assert found.anisotropy == pytest.approx(1, abs=1e-3)


def test_unlike_descriptors_give_no_alignment_that_many_points_agree_with():
    found = align(features(*random_features(200, 1)), features(*random_features(200, 2)))
    assert found is None or found.inliers < 12


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_points_give_no_alignment(count):
    few = features(*random_features(count, 1))
    assert align(few, few) is None


def test_a_repeated_pattern_is_not_matched():
    _, descriptors = random_features(10, 1)
    twice = np.concatenate([descriptors, descriptors])
    assert len(match_points(descriptors, twice)) == 0
    assert len(match_points(descriptors, descriptors)) == 10


def test_identical_frames_overlap_fully():
    assert overlap_share(np.eye(3)[:2], (300, 400), (300, 400)) == pytest.approx(1)


@pytest.mark.parametrize(("shift", "share"), [(0, 1.0), (100, 0.75), (200, 0.5), (400, 0.0), (900, 0.0)])
def test_a_shifted_frame_overlaps_by_what_is_left(shift, share):
    matrix = np.array([[1.0, 0, shift], [0, 1, 0]])
    assert overlap_share(matrix, (300, 400), (300, 400)) == pytest.approx(share)


def test_a_crop_lies_fully_in_its_original():
    assert overlap_share(np.array([[1.0, 0, 50], [0, 1, 40]]), (100, 100), (300, 400)) == pytest.approx(1)


@given(angle=st.floats(0, 2 * np.pi), scale=st.floats(0.2, 5), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_the_overlap_of_frames_is_a_share_and_the_same_from_both_sides(angle, scale, x, y):
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([rotation, [x, y]])
    back = np.column_stack([np.linalg.inv(rotation), -np.linalg.inv(rotation) @ [x, y]])
    share = overlap_share(matrix, (300, 400), (200, 500))
    assert 0 <= share <= 1 + 1e-9
    assert overlap_share(back, (200, 500), (300, 400)) == pytest.approx(share, abs=1e-6)


def an_alignment(matrix, left=(300, 400), right=(300, 400)):
    none = (
        features(np.zeros((0, 2)), np.zeros((0, 128), np.uint8), left),
        features(np.zeros((0, 2)), np.zeros((0, 128), np.uint8), right),
    )
    return Alignment(*none, np.asarray(matrix, np.float64), inliers=20, residual_px=0.1)


@given(width=st.integers(50, 800), height=st.integers(50, 800))
def test_a_frame_squeezed_into_another_has_its_corners_there(width, height):
    squeeze = [[width / 400, 0, 0], [0, height / 300, 0]]
    assert an_alignment(squeeze, right=(height, width)).corner_error < 1e-6


def test_a_crop_does_not_have_its_corners_on_those_of_its_original():
    assert an_alignment([[0.7, 0, 30], [0, 0.7, 20]]).corner_error > 0.2


@pytest.mark.parametrize(("degrees", "askew"), [(0, 0), (30, 30), (-30, 30), (90, 0), (95, 5), (180, 0), (225, 45)])
def test_the_turn_is_measured_from_the_nearest_quarter(degrees, askew):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    assert an_alignment([[cosine, -sine, 0], [sine, cosine, 0]]).turn_degrees == pytest.approx(askew, abs=1e-6)


def test_flat_corners_are_those_that_hold_one_grey():
    noise = np.random.default_rng(0).integers(40, 255, (100, 100), dtype=np.uint8)
    assert flat_corners(noise) < 0.02
    noise[:20, :20] = 0
    noise[80:, 80:] = 0
    assert flat_corners(noise) == pytest.approx(0.08, abs=0.02)
