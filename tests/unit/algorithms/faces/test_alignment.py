"""Affine maps, warped squares and aligned face chips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.faces.alignment import (
    DLIB_TEMPLATE,
    MESH_FOR_DLIB,
    MESH_POINTS,
    chip_by_eyes,
    face_chips,
    five_points,
    roll_of,
)
from deployments.algorithms.images.affine import (
    bounding_square,
    fit_similarity,
    fit_square,
    invert,
    move_points,
    quarter_turn_back,
    warp_square,
)
from tests.support.builders import a_photo, an_image

ANGLES = st.floats(-3.1, 3.1)
SHIFTS = st.floats(-500, 500)


def turned_points(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + np.array(shift)


def a_mesh(angle: float = 0.0, width: float = 100.0, centre: tuple[float, float] = (150.0, 150.0)) -> np.ndarray:
    """A mesh of which only the points that the template places are meant."""
    mesh = np.zeros((MESH_POINTS, 3), np.float32)
    mesh[list(MESH_FOR_DLIB), :2] = turned_points(DLIB_TEMPLATE - 0.5, angle, width, centre)
    return mesh


@given(ANGLES, st.floats(0.1, 10), SHIFTS, SHIFTS, st.integers(0, 1000))
def test_a_similarity_is_found_again(angle: float, scale: float, x: float, y: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-1, 1, (5, 2))
    target = turned_points(points, angle, scale, (x, y))
    np.testing.assert_allclose(move_points(points, fit_similarity(points, target)), target, atol=1e-3)


def test_a_similarity_of_points_that_coincide_has_no_scale_but_is_no_error() -> None:
    matrix = fit_similarity(np.full((5, 2), 3.0), DLIB_TEMPLATE)
    assert np.isfinite(matrix).all()
    assert not matrix[:, :2].any()


@given(ANGLES, SHIFTS, SHIFTS, st.floats(1, 500))
def test_the_square_around_points_is_set_upright(angle: float, x: float, y: float, width: float) -> None:
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    points = turned_points(corners, angle, width, (x, y))
    centre, side = bounding_square(points, angle)
    np.testing.assert_allclose(centre, [x, y], atol=0.1)
    assert side == pytest.approx(width, rel=1e-2, abs=0.1)
    found = move_points(points, fit_square(np.array([x, y]), width, angle, 64))
    np.testing.assert_allclose(found, (corners + 0.5) * 64, atol=0.1)


@given(ANGLES, st.floats(1, 400), SHIFTS, SHIFTS)
def test_an_inverted_map_leads_back(angle: float, side: float, x: float, y: float) -> None:
    matrix = fit_square(np.array([x, y]), side, angle, 48)
    points = np.array([[0.0, 0.0], [48, 0], [20, 30]])
    np.testing.assert_allclose(move_points(move_points(points, invert(matrix)), matrix), points, atol=0.05)


@given(ANGLES)
def test_roll_is_the_angle_of_the_eyes(angle: float) -> None:
    eyes = turned_points(np.array([[-1.0, 0], [1, 0]]), angle, 30, (5, 9))
    assert roll_of(eyes) == pytest.approx(angle, abs=1e-6)


@pytest.mark.parametrize("turns", range(4))
def test_a_pixel_of_the_turned_image_is_found_in_the_image(turns: int) -> None:
    image = an_image((31, 17), seed=3)
    turned = np.rot90(image, turns)
    back = quarter_turn_back(17, 31, turns)
    for x, y in ((0, 0), (5, 9), (turned.shape[1] - 1, turned.shape[0] - 1)):
        column, row = move_points(np.array([x, y], np.float64), back).astype(int)
        np.testing.assert_array_equal(turned[y, x], image[row, column])


def test_a_warped_upright_square_of_the_images_size_is_the_image_itself() -> None:
    image = an_image((40, 40))
    np.testing.assert_array_equal(warp_square(image, fit_square(np.array([20, 20]), 40, 0, 40), 40), image)


def test_a_warped_square_is_black_outside_the_image() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    assert not warp_square(image, fit_square(np.array([500, 500]), 40, 0, 32), 32).any()
    corner = warp_square(image, fit_square(np.array([0, 0]), 40, 0, 40), 40)
    assert not corner[:18, :18].any()
    assert (corner[22:, 22:] == 200).all()


def test_a_strongly_reduced_square_averages_what_it_leaves_out() -> None:
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    small = warp_square(stripes, fit_square(np.array([160, 160]), 320, 0, 32), 32)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 8


def test_a_reduced_square_keeps_its_place() -> None:
    """The half pixel between the two conventions of pixel centres does not shift what is shrunk."""
    image = np.zeros((400, 400, 3), np.uint8)
    image[180:220, 180:220] = 255
    small = warp_square(image, fit_square(np.array([199.5, 199.5]), 400, 0, 40), 40)[..., 0].astype(float)
    rows, columns = np.mgrid[:40, :40]
    assert (small * columns).sum() / small.sum() == pytest.approx(20, abs=0.1)
    assert (small * rows).sum() / small.sum() == pytest.approx(20, abs=0.1)


def test_warping_by_a_matrix_without_scale_gives_black() -> None:
    assert not warp_square(an_image(), np.zeros((2, 3)), 16).any()


@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi / 2, np.pi])
def test_face_chips_show_a_turned_face_upright(angle: float) -> None:
    upright = a_photo("astronaut", 300)
    matrix = fit_square(np.array([150, 150]), 300, -angle, 300)
    turned = warp_square(upright, matrix, 300)
    expected = face_chips(upright, a_mesh(), (0.15,), 150)[0].astype(int)
    found = face_chips(turned, a_mesh(angle), (0.15,), 150)[0].astype(int)
    assert np.abs(found - expected)[20:-20, 20:-20].mean() < 8


def test_each_padding_gives_a_chip_and_its_mirror_image() -> None:
    chips = face_chips(an_image((300, 300)), a_mesh(), (0.15, 0.3), 150)
    assert chips.shape == (4, 150, 150, 3)
    np.testing.assert_array_equal(chips[1], chips[0][:, ::-1])
    np.testing.assert_array_equal(chips[3], chips[2][:, ::-1])
    assert (chips[0] != chips[2]).any()


def test_a_chip_by_the_eyes_is_the_chip_of_a_face_that_fits_the_template() -> None:
    image, mesh = a_photo("astronaut", 300), a_mesh()
    eyes = five_points(mesh)[:2]
    by_eyes = chip_by_eyes(image, eyes, 0.15, 150).astype(int)
    assert np.abs(by_eyes - face_chips(image, mesh, (0.15,), 150)[0]).max() <= 2


def test_the_persons_right_eye_comes_first_of_five_points() -> None:
    right, left = five_points(a_mesh())[:2]
    assert right[0] < left[0]
