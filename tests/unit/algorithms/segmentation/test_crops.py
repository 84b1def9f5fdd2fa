"""Person crops: where they lie, and the merge of what the person model saw in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.faces.frame import frame_of
from deployments.algorithms.images.affine import move_points
from deployments.algorithms.segmentation.crops import merge_crops, person_crops, quarter_turns, rotate_back
from tests.support.builders import a_flat_image
from tests.support.faces import a_face

SIZE = 64


def seen(value: float) -> np.ndarray:
    return np.full((SIZE, SIZE), value, np.float32)


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([0.0, 1.0]))
@settings(max_examples=30, deadline=None)
def test_merging_no_crops_gives_what_was_seen_in_the_whole_image(width: int, height: int, value: float) -> None:
    chance = merge_crops(a_flat_image((width, height)), seen(value), [], [])
    np.testing.assert_allclose(chance, np.full((height, width), value), atol=1e-6)


@pytest.mark.parametrize("roll", [0, 35, 90, 180])
def test_a_close_crop_finds_a_person_whom_the_whole_image_hides(roll: float) -> None:
    frame = frame_of(a_face(300, 200, 20, roll))
    crops = person_crops([frame], 400, 600, SIZE)
    assert len(crops) == 2
    chance = merge_crops(a_flat_image((600, 400)), seen(0), crops, [seen(1)] * 2)
    right, down = np.round(frame.point(0, 0.5)).astype(int)
    assert chance[down, right] > 0.95
    assert chance[:, :20].max() < 0.05


def test_the_nearest_crop_decides_between_two_people() -> None:
    """One is clearly seen by its own look, and missed at the border of the other's."""
    frames = [frame_of(a_face(x, 150, 25)) for x in (200, 270)]
    crops = person_crops(frames, 400, 500, SIZE)[::2]
    chance = merge_crops(a_flat_image((500, 400)), seen(0), crops, [seen(1), seen(0)])
    assert chance[150, 200] > 0.8
    assert chance[150, 270] < 0.2


def test_a_face_that_fills_the_image_gets_no_crop() -> None:
    assert person_crops([frame_of(a_face(100, 100, 80))], 200, 200, SIZE) == []


@given(st.floats(-180, 180), st.integers(1, 60), st.integers(1, 60))
def test_the_image_is_turned_until_its_largest_face_is_nearly_upright(roll: float, width: int, height: int) -> None:
    faces = a_face(20, 20, 30, roll), a_face(5, 5, 3, roll + 90)
    turns = quarter_turns([frame_of(face) for face in faces])
    assert abs((roll - 90 * turns + 180) % 360 - 180) <= 45.01
    plane = np.arange(width * height, dtype=np.float32).reshape(height, width)
    np.testing.assert_array_equal(rotate_back(np.rot90(plane, turns), turns), plane)


def test_a_crop_shows_the_face_upright_above_its_middle() -> None:
    face = a_face(300, 200, 20, roll=120)
    for look in person_crops([frame_of(face)], 400, 600, SIZE):
        marks = np.array([face.landmarks["left_eye"], face.landmarks["right_eye"], face.landmarks["chin"]])
        left, right, chin = move_points(marks, look.matrix)
        assert left[0] < SIZE / 2 < right[0]
        assert left[1] == pytest.approx(right[1], abs=0.1)
        assert left[1] < chin[1]
        assert left[1] < SIZE / 2
