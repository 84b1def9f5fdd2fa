"""The light of one image under the colours of another."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deployments.algorithms.a1111.hint_filters import draw_intensity, draw_luminance
from deployments.algorithms.a1111.recolouring import put_intensity, put_luminance
from deployments.contracts.arrays import Gray, Image
from tests.support.builders import a_flat_image, a_photo, an_image

LEVEL = st.integers(0, 255)
COLOUR = st.tuples(LEVEL, LEVEL, LEVEL)
Put = Callable[[Image, Gray], Image]
Draw = Callable[[Image, float], Image]
EITHER = pytest.mark.parametrize(("put", "draw"), [(put_luminance, draw_luminance), (put_intensity, draw_intensity)])


def lab_of(image: Image) -> NDArray[np.float32]:
    """Lab without rounding: L from 0 to 100."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def pale(image: Image) -> Image:
    """The image with colours near grey, which exist in all light but the deepest and the brightest."""
    grey = image.mean(axis=2, keepdims=True)
    return np.asarray(np.rint(grey + (image - grey) * 0.2), np.uint8)


@given(COLOUR, LEVEL)
def test_the_intensity_is_that_of_the_image_and_hue_and_saturation_those_of_the_picture(
    colour: tuple[int, int, int], light: int
) -> None:
    picture, plane = a_flat_image((2, 2), colour), np.full((2, 2), light, np.uint8)
    made = tuple(int(one) for one in put_intensity(picture, plane)[0, 0])
    assert max(made) == light
    hue, saturation, _ = colorsys.rgb_to_hsv(*(one / 255 for one in colour))
    wanted = colorsys.hsv_to_rgb(hue, saturation, light / 255)
    assert max(abs(one - 255 * other) for one, other in zip(made, wanted, strict=True)) <= 0.51


@given(st.integers(0, 1000), st.integers(60, 200))
def test_the_luminance_is_that_of_the_image_and_the_colours_those_of_the_picture(seed: int, light: int) -> None:
    picture, plane = pale(an_image((32, 24), seed)), np.full((24, 32), light, np.uint8)
    made, wanted = lab_of(put_luminance(picture, plane)), lab_of(picture)
    assert np.abs(made[..., 0] * 2.55 - light).max() <= 1
    assert np.abs(made[..., 1:] - wanted[..., 1:]).max() <= 2.5  # the rounding of a dark grey's three colours


@EITHER
def test_a_picture_under_its_own_light_stays_as_it_is(put: Put, draw: Draw) -> None:
    picture = a_photo("astronaut", 128)
    made = put(picture, draw(picture, 1)[..., 0])
    assert np.abs(made.astype(int) - picture).max() <= 5
    assert np.abs(made.astype(int) - picture).mean() < 1


@EITHER
def test_a_black_and_white_photograph_under_grey_is_that_photograph(put: Put, draw: Draw) -> None:
    grey = np.repeat(a_photo("astronaut", 128).max(axis=2, keepdims=True), 3, axis=2)
    made = put(a_flat_image((grey.shape[1], grey.shape[0]), (90, 90, 90)), draw(grey, 1)[..., 0])
    assert np.abs(made.astype(int) - grey).max() <= 1


def test_a_colour_that_does_not_exist_in_a_light_is_the_nearest_that_can_be_shown() -> None:
    white = put_luminance(a_flat_image((2, 2), (0, 0, 255)), np.full((2, 2), 255, np.uint8))
    assert white[0, 0, 2] == 255
    assert lab_of(white)[0, 0, 0] > 80
