"""Head space: poses, their way back, and the fit of ears on hair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.avatars.head_space import pose_of, seat_of
from tests.support.heads import a_face, a_segmentation

_ROLLS = st.floats(-180, 180)
_COORDINATES = st.floats(-3, 3)


@given(x=_COORDINATES, y=_COORDINATES, roll=_ROLLS, unit_px=st.floats(4, 400))
def test_a_point_of_head_space_comes_back_from_the_image(x: float, y: float, roll: float, unit_px: float) -> None:
    pose = pose_of(a_face(unit_px=unit_px, roll=roll))

    assert pose.locate(pose.place(x, y)) == pytest.approx((x, y), abs=1e-3)


@given(roll=_ROLLS, yaw=st.floats(-60, 60))
def test_the_unit_of_head_space_is_the_distance_of_the_eyes_however_the_head_is_held(roll: float, yaw: float) -> None:
    pose = pose_of(a_face(unit_px=50, roll=roll, yaw=yaw))

    assert pose.unit_px == pytest.approx(50, rel=0.06)
    assert pose.origin == pytest.approx(a_face().landmarks["left_eye"], abs=60)


def test_an_average_face_does_not_move_the_drawing() -> None:
    assert np.abs(pose_of(a_face(yaw=20)).knots[:, 1:]).max() < 0.02


@given(yaw=st.floats(-45, 45), x=st.floats(-1, 1), y=st.floats(-1, 1.5), depth=st.floats(-0.5, 1))
def test_the_way_back_from_a_turned_head_ends_where_it_began(yaw: float, x: float, y: float, depth: float) -> None:
    pose = pose_of(a_face(yaw=yaw))
    turned = x * np.cos(pose.yaw) + depth * np.sin(pose.yaw)

    back = pose.face_on(
        np.array([[turned]], np.float32), np.array([[y]], np.float32), lambda x, _: np.full_like(x, depth)
    )

    assert (float(back[0][0, 0]), float(back[1][0, 0])) == pytest.approx((x, y), abs=0.05)


@given(
    nose=st.floats(-2, 2), lip=st.floats(-2, 2), lower=st.floats(-2, 2), chin=st.floats(-2, 2), follow=st.floats(0, 1)
)
def test_a_strange_face_never_folds_the_drawing(
    nose: float, lip: float, lower: float, chin: float, follow: float
) -> None:
    face = a_face(unit_px=50)
    names = ("nose_tip", "upper_lip", "lower_lip", "chin")
    for name, moved in zip(names, (nose, lip, lower, chin), strict=True):
        x, y = face.landmarks[name]
        face.landmarks[name] = (x, y + 50 * moved)
    y = np.linspace(-2, 3, 200, dtype=np.float32)[:, None]

    back = pose_of(face).face_on(np.zeros_like(y), y, lambda x, _: np.zeros_like(x), follow)

    assert (np.diff(back[1][:, 0]) > 0).all()


def test_a_profile_is_as_large_as_its_height_says() -> None:
    face = a_face(unit_px=50, yaw=85)

    assert pose_of(face).unit_px == pytest.approx(50, rel=0.25)


def test_ears_rise_with_the_hair() -> None:
    picture = np.zeros((600, 600, 3), np.uint8)
    face = a_face((300, 300), 60)
    mask = a_segmentation(picture, [face]).person_mask
    taller = mask.copy()
    taller[120:300, 240:360] = 255

    assert seat_of(pose_of(face), taller).rise > seat_of(pose_of(face), mask).rise


def test_ears_sit_on_the_middle_of_a_head_that_is_turned() -> None:
    mask = np.zeros((601, 601), np.uint8)
    mask[150:500, 240:421] = 255

    to_the_left = seat_of(pose_of(a_face((300, 300), 60, yaw=-35)), mask)
    to_the_right = seat_of(pose_of(a_face((300, 300), 60, yaw=35)), np.ascontiguousarray(mask[:, ::-1]))

    assert to_the_left.shift == pytest.approx(-to_the_right.shift, abs=0.06)
    middle, _ = to_the_left.place(np.array([30 / 60], np.float32), np.zeros(1, np.float32))
    ears_in_between = 0.3 * np.sin(np.radians(35))
    assert middle[0] == pytest.approx(ears_in_between, abs=0.08)


def test_ears_are_where_usual_when_the_hair_leaves_the_image() -> None:
    everywhere = np.full((200, 200), 255, np.uint8)

    seat = seat_of(pose_of(a_face((100, 100), 60)), everywhere)

    assert (seat.spread, seat.rise) == (1.0, pytest.approx(-0.1))


def test_a_nose_is_moved_as_one_where_a_face_is_stretched() -> None:
    face = a_face(unit_px=50)
    x, y = face.landmarks["upper_lip"]
    face.landmarks["upper_lip"] = (x, y + 15)
    y_lines = np.linspace(0.4, 1.0, 50, dtype=np.float32)[:, None]
    flat = np.zeros_like

    stretched = pose_of(face).face_on(flat(y_lines), y_lines, lambda x, _: flat(x))
    rigid = pose_of(face).face_on(flat(y_lines), y_lines, lambda x, _: flat(x), rigid_at=0.62)

    assert np.ptp(rigid[1] - y_lines) < 1e-5
    assert np.ptp(stretched[1] - y_lines) > 0.1
