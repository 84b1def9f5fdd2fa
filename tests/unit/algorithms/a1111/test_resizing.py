"""Resizing of images and ControlNet hints into frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.resizing import fit, fit_hint, fit_mask, pixel_perfect_resolution, scaled_size
from deployments.contracts.diffusion import ResizeMode
from tests.support.builders import a_flat_image, an_image

SIDES = st.integers(1, 90)
SIZES = st.tuples(SIDES, SIDES)
MODES: list[ResizeMode] = ["stretch", "crop", "fill"]


@given(SIZES, SIZES, st.sampled_from(MODES))
def test_every_mode_gives_exactly_the_frame(size: tuple[int, int], frame: tuple[int, int], mode: ResizeMode) -> None:
    assert fit(an_image(size), frame, mode).shape == (frame[1], frame[0], 3)
    assert fit_hint(an_image(size), frame, mode).shape == (frame[1], frame[0], 3)


@given(SIZES, SIZES)
def test_a_picture_that_covers_is_never_smaller_and_one_that_is_contained_never_larger(
    size: tuple[int, int], frame: tuple[int, int]
) -> None:
    covering, contained = scaled_size(size, frame, cover=True), scaled_size(size, frame, cover=False)
    assert all(one >= other for one, other in zip(covering, frame, strict=True))
    assert all(one <= other for one, other in zip(contained, frame, strict=True))


def test_a_mask_hides_what_the_frame_has_beyond_its_image() -> None:
    fitted = fit_mask(np.zeros((10, 20), np.uint8), (20, 20), "fill")
    assert (fitted[:5] == 255).all()
    assert (fitted[15:] == 255).all()
    assert not fitted[5:15].any()
    assert not fit_mask(np.zeros((10, 20), np.uint8), (20, 20), "crop").any()


@given(SIZES, SIZES, st.sampled_from(MODES))
def test_a_flat_picture_stays_flat(size: tuple[int, int], frame: tuple[int, int], mode: ResizeMode) -> None:
    colour = (10, 120, 200)
    assert np.all(fit(a_flat_image(size, colour), frame, mode) == colour)
    assert np.all(fit_hint(a_flat_image(size, colour), frame, mode) == colour)


def test_crop_keeps_the_middle_and_fill_keeps_all() -> None:
    picture = a_flat_image((90, 30), (0, 0, 0))
    picture[:, 30:60] = 255
    assert np.all(fit(picture, (30, 30), "crop") > 128)
    filled = fit(picture, (90, 90), "fill")
    assert np.array_equal(filled[0], filled[45])


def test_filling_a_hint_takes_the_median_of_its_border() -> None:
    hint = a_flat_image((60, 20), (0, 0, 0))
    hint[5:15, 20:40] = 255
    hint[0, :3] = 255
    assert np.all(fit_hint(hint, (60, 60), "fill")[:15] == 0)


@pytest.mark.parametrize("size", [(33, 33), (200, 150)])
def test_edges_stay_black_and_white(size: tuple[int, int]) -> None:
    hint = a_flat_image((64, 48), (0, 0, 0))
    hint[20, 5:60] = hint[5:40, 30] = 255
    assert set(np.unique(fit_hint(hint, size, "stretch"))) == {0, 255}


def test_edges_one_pixel_wide_stay_so_when_enlarged() -> None:
    hint = a_flat_image((64, 64), (0, 0, 0))
    hint[32, 4:60] = 255
    column = fit_hint(hint, (256, 256), "stretch")[:, 128, 0]
    assert (column > 0).sum() == 1


def test_a_map_of_few_colours_gets_no_new_ones() -> None:
    hint = np.zeros((40, 40, 3), np.uint8)
    for place, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]):
        hint[:, place * 10 : place * 10 + 10] = colour
    resized = fit_hint(hint, (77, 53), "stretch")
    assert len(np.unique(resized.reshape(-1, 3), axis=0)) == 4


def test_pixel_perfect_is_the_short_side_at_the_size_to_make() -> None:
    assert pixel_perfect_resolution((1000, 500), (512, 768), "crop") == 768
    assert pixel_perfect_resolution((1000, 500), (512, 768), "fill") == 256
