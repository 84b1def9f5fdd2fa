"""Projective maps of the plane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.duplicates.maps import as_projective, corners_of, foreshortening, local_map, project

FRAME = (300, 400)
small = st.floats(-0.0004, 0.0004)
maps = st.builds(
    lambda a, b, c, d, g, h: np.array([[1 + a, b, 20], [c, 1 + d, -10], [g, h, 1]]),
    *[st.floats(-0.3, 0.3) for _ in "abcd"],
    small,
    small,
)


@given(maps)
def test_a_map_and_its_inverse_bring_points_back(matrix):
    corners = corners_of(FRAME)
    assert project(np.linalg.inv(matrix), project(matrix, corners)) == pytest.approx(corners, abs=1e-4)


@given(maps, st.floats(0, 400), st.floats(0, 300))
def test_the_local_map_is_the_derivative(matrix, x, y):
    point, step = np.array([x, y]), 1e-4
    around = project(matrix, point + step * np.array([[0, 0], [1, 0], [0, 1]]))
    assert local_map(matrix, point) == pytest.approx(((around[1:] - around[0]) / step).T, abs=1e-3)


@given(maps)
def test_an_affine_map_foreshortens_nothing_and_a_projective_one_does(matrix):
    assert foreshortening(matrix[:2], FRAME) == pytest.approx(1)
    assert foreshortening(matrix, FRAME) >= 1 - 1e-9


def test_foreshortening_without_end_where_a_corner_lies_behind_the_camera():
    assert foreshortening(np.array([[1, 0, 0], [0, 1, 0], [-0.003, 0, 1.0]]), FRAME) == float("inf")


def test_a_projective_map_is_scaled_to_a_last_number_of_1():
    assert as_projective(3 * np.eye(3)) == pytest.approx(np.eye(3))
