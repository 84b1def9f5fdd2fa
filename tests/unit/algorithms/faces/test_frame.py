"""Face coordinates, pose and named landmarks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.faces.alignment import MESH_POINTS
from deployments.algorithms.faces.frame import frame_of
from deployments.algorithms.faces.mesh_landmarks import MESH_NAMES, MESH_OUTLINE, describe_mesh, pose_of
from deployments.algorithms.images.affine import move_points
from deployments.contracts.portraits import OPTIONAL_LANDMARKS, REQUIRED_LANDMARKS
from tests.support.faces import LANDMARKS, a_face

PLACES = st.floats(-2000, 2000)
ROLLS = st.floats(-180, 180)


def a_mesh(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The points of a flat face that show its pose, turned in space; degrees as `SegmentedFace` has them."""
    mesh = np.zeros((MESH_POINTS, 3))
    for index, (x, y) in {33: (-40, 0), 133: (-20, 0), 362: (20, 0), 263: (40, 0)}.items():
        mesh[index, :2] = x, y
    for index, (x, y) in {127: (-60, 0), 356: (60, 0), 10: (0, -60), 152: (0, 80)}.items():
        mesh[index, :2] = x, y
    down, aside, clockwise = np.radians([pitch, yaw, roll])
    # Depth grows away from the camera: to look down is to bring the forehead nearer, to look right the left temple.
    mesh = mesh @ np.array([[1, 0, 0], [0, np.cos(down), np.sin(down)], [0, -np.sin(down), np.cos(down)]])
    mesh = mesh @ np.array([[np.cos(aside), 0, np.sin(aside)], [0, 1, 0], [-np.sin(aside), 0, np.cos(aside)]])
    mesh[:, :2] = mesh[:, :2] @ np.array(
        [[np.cos(clockwise), np.sin(clockwise)], [-np.sin(clockwise), np.cos(clockwise)]]
    )
    return mesh.astype(np.float32)


@given(PLACES, PLACES, st.floats(2, 500), ROLLS)
def test_a_face_frame_has_the_same_units_wherever_and_however_the_face_lies(
    x: float, y: float, size: float, roll: float
) -> None:
    face = a_face(x, y, size, roll)
    units = frame_of(face).units(np.array(list(face.landmarks.values())))
    np.testing.assert_allclose(units, list(LANDMARKS.values()), atol=0.01)


@given(PLACES, PLACES, st.floats(2, 500), ROLLS, st.floats(-3, 3), st.floats(-3, 3))
def test_units_of_a_face_frame_come_back_as_pixels(
    x: float, y: float, size: float, roll: float, right: float, down: float
) -> None:
    frame = frame_of(a_face(x, y, size, roll))
    place = np.array([[right, down]])
    np.testing.assert_allclose(frame.units(frame.pixels(place)), place, atol=0.01)
    np.testing.assert_allclose(frame.pixels(place)[0], frame.point(right, down), atol=0.05)


@given(PLACES, PLACES, st.floats(2, 500), ROLLS)
def test_a_window_of_a_face_frame_sets_its_centre_in_the_middle_and_the_chin_below(
    x: float, y: float, size: float, roll: float
) -> None:
    face = a_face(x, y, size, roll)
    matrix = frame_of(face).window(4.0, (0.0, 0.5), 200)
    marks = np.array([face.landmarks["chin"], face.landmarks["left_eye"]])
    np.testing.assert_allclose(move_points(marks, matrix), [[100, 125], [86, 75]], atol=1)


def test_landmarks_that_coincide_still_have_a_face_frame() -> None:
    frame = frame_of(a_face(5, 5, 0.0))
    assert frame.unit > 0
    assert np.isfinite(frame.window(3.0, (0, 0), 64)).all()


@given(st.floats(-70, 70), ROLLS)
def test_yaw_is_to_the_right_in_the_upright_face_at_any_roll(yaw: float, roll: float) -> None:
    found_roll, found_yaw, pitch = pose_of(a_mesh(yaw=yaw, roll=roll))
    assert (found_roll - roll + 180) % 360 - 180 == pytest.approx(0, abs=0.1)
    assert found_yaw == pytest.approx(yaw, abs=0.1)
    assert pitch == pytest.approx(0, abs=0.1)


@given(st.floats(-70, 70), ROLLS)
def test_pitch_is_down_in_the_upright_face_at_any_roll(pitch: float, roll: float) -> None:
    _, yaw, found = pose_of(a_mesh(pitch=pitch, roll=roll))
    assert found == pytest.approx(pitch, abs=0.1)
    assert yaw == pytest.approx(0, abs=0.1)


def test_a_mesh_names_every_landmark_that_an_engine_can_give() -> None:
    assert set(MESH_NAMES) == {*REQUIRED_LANDMARKS, *OPTIONAL_LANDMARKS}
    face = describe_mesh(a_mesh(), np.array([1, 2, 3, 4], np.float32), 0.7)
    assert face.landmarks["left_eye"] == (-30, 0)
    assert face.outline.shape == (len(MESH_OUTLINE), 2)
    assert (face.bbox, face.score) == ((1, 2, 3, 4), 0.7)
