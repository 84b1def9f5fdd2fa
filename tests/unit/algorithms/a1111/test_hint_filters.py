"""Hints made by filters of the whole image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111 import hint_filters
from tests.support.builders import a_flat_image, an_image

FILTERS = [
    lambda image: hint_filters.blur(image, 9),
    hint_filters.draw_colour_grid,
    lambda image: hint_filters.draw_luminance(image, 1),
    lambda image: hint_filters.draw_intensity(image, 0.1),
    hint_filters.draw_standard_lines,
    lambda image: hint_filters.resample(image, 8),
    hint_filters.shuffle,
]


@given(st.integers(1, 90), st.integers(1, 90))
def test_every_filter_keeps_the_size(width: int, height: int) -> None:
    image = an_image((width, height))
    for draw in FILTERS:
        drawn = draw(image)
        assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)


def test_the_colour_grid_has_the_mean_of_each_field() -> None:
    image = an_image((128, 64))
    drawn = hint_filters.draw_colour_grid(image)
    for field in (np.s_[:, :64], np.s_[:, 64:]):
        assert len(np.unique(drawn[field].reshape(-1, 3), axis=0)) == 1
        np.testing.assert_allclose(drawn[field][0, 0], image[field].mean(axis=(0, 1)), atol=1)


@pytest.mark.parametrize(("gamma", "grey"), [(1.0, 51), (2.0, 10), (0.5, 114)])
def test_the_intensity_is_the_largest_colour_to_the_power_of_gamma(gamma: float, grey: int) -> None:
    drawn = hint_filters.draw_intensity(a_flat_image((8, 8), (51, 20, 7)), gamma)
    assert np.unique(drawn).tolist() == [grey]


def test_the_luminance_of_grey_rises_with_it_and_is_black_and_white_at_its_ends() -> None:
    levels = [int(hint_filters.draw_luminance(a_flat_image((4, 4), (v, v, v)), 1)[0, 0, 0]) for v in (0, 99, 180, 255)]
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == (0, 255)


def test_standard_lines_are_white_where_a_drawing_is_black() -> None:
    image = a_flat_image((64, 64), (255, 255, 255))
    image[30:32] = 0
    drawn = hint_filters.draw_standard_lines(image)
    assert drawn[30].min() > 100
    assert drawn[:8].max() < 8
    assert not hint_filters.draw_standard_lines(a_flat_image((64, 64), (255, 255, 255))).any()


def test_resampling_takes_detail_away_and_nothing_at_rate_one() -> None:
    image = an_image((64, 64))
    np.testing.assert_array_equal(hint_filters.resample(image, 1.0), image)
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    assert np.ptp(hint_filters.resample(stripes, 4.0)) < 8


def test_a_shuffle_is_the_same_for_the_same_image_and_another_for_another() -> None:
    image = an_image((300, 200), 1)
    shuffled = hint_filters.shuffle(image)
    np.testing.assert_array_equal(shuffled, hint_filters.shuffle(image.copy()))
    assert (shuffled != image).any()
    flat = a_flat_image((300, 200), (10, 20, 30))
    np.testing.assert_array_equal(hint_filters.shuffle(flat), flat)


def test_the_points_of_a_face_lie_on_the_mesh() -> None:
    mesh = np.random.default_rng(0).uniform(20, 80, (468, 2)).astype(np.float32)
    drawn = hint_filters.draw_face_points((100, 100), [mesh])
    for place in (33, 263, 61, 291, 152):
        x, y = mesh[place].astype(int)
        assert drawn[y, x].tolist() == [255, 255, 255]
    assert not hint_filters.draw_face_points((100, 100), []).any()
