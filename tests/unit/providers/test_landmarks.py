"""Face shapes from vendors' landmarks, wherever, however large and however turned the face is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.contracts.portraits import SegmentedFace
from deployments.errors import ProviderUnavailable
from deployments.providers.landmarks import FoundFace, shape_face
from tests.support.face_truth import TrueFace

angles = st.floats(-179, 179)


def shaped(truth: TrueFace, **changed: Any) -> SegmentedFace:
    told = truth.told()
    (x1, y1), (x2, y2) = np.min(told.skin, axis=0), np.max(told.skin, axis=0)
    found = FoundFace((x1, y1, x2, y2), told.score, told.points, told.roll, told.yaw, told.pitch, np.float32(told.skin))
    return shape_face(replace(found, **changed), "A vendor")


def moved(points: Any, truth: TrueFace) -> np.ndarray:
    """Points of a face of one pixel's size that looks from the origin, where they are in the picture of `truth`."""
    roll = np.radians(truth.roll)
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return np.asarray(points) @ turn * truth.size + np.array(truth.eyes)


@given(
    eyes=st.tuples(st.floats(-500, 5000), st.floats(-500, 5000)),
    size=st.floats(5, 1500),
    roll=angles,
    yaw=st.floats(-60, 60),
)
def test_a_face_turns_moves_and_grows_with_its_points(
    eyes: tuple[float, float], size: float, roll: float, yaw: float
) -> None:
    upright, truth = TrueFace((0.0, 0.0), 1.0, yaw=yaw), TrueFace(eyes, size, roll, yaw)
    expected, face = shaped(upright), shaped(truth)
    assert face.landmarks.keys() == expected.landmarks.keys()
    for name, point in face.landmarks.items():
        np.testing.assert_allclose(point, moved(expected.landmarks[name], truth), atol=size * 0.06)
    assert abs((face.roll - roll + 180) % 360 - 180) < 0.1
    area, of_one = (_area(outline) for outline in (face.outline, expected.outline))
    assert area == pytest.approx(of_one * size**2, rel=0.1)


@given(roll=angles, tall=st.floats(0.2, 1.2))
def test_the_forehead_ends_where_the_skin_does_within_reason(roll: float, tall: float) -> None:
    truth = TrueFace((300.0, 300.0), 100.0, roll)
    skin = moved([(-0.65, -tall), (0.65, -tall), (0.65, 1), (-0.65, 1)], truth).astype(np.float32)
    face = shaped(truth, skin=skin)
    height = np.linalg.norm(np.array(face.landmarks["forehead"]) - truth.eyes)
    assert height == pytest.approx(100 * np.clip(tall, 0.35, 0.6), abs=1.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bbox": (1.0, 1.0, 1.0, 9.0)},
        {"bbox": (1.0, 1.0, float("nan"), 9.0)},
        {"score": float("nan")},
        {"yaw": float("inf")},
        {"points": {}},
        {"points": dict.fromkeys(TrueFace((0.0, 0.0), 9.0).told().points, (5.0, 5.0))},  # all in one place
    ],
)
def test_a_face_that_makes_no_sense_is_unavailability(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProviderUnavailable, match="A vendor"):
        shaped(TrueFace((50.0, 50.0), 30.0), **wrong)


def _area(outline: np.ndarray) -> float:
    x, y = outline.astype(np.float64).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
