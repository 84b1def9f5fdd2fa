"""Parts of an image in quarter turns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.faces.turned_image import Box, TurnedImage
from deployments.contracts.arrays import Image


def smooth(height: int, width: int, seed: int = 0) -> Image:
    """An image of soft shapes, as those of photographs are beside the noise of random pixels."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def resized(image: Image, box: Box, size: tuple[int, int]) -> Image:
    part = image[box[1] : box[3], box[0] : box[2]]
    method = cv2.INTER_AREA if size[0] < part.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, size, interpolation=method), np.uint8)


@st.composite
def searched(draw: st.DrawFn) -> tuple[Image, int, Box, tuple[int, int]]:
    """An image, quarter turns, a box in the turned image, and a size of the same shape as the box."""
    image = smooth(*draw(st.tuples(st.integers(160, 400), st.integers(160, 400))), seed=draw(st.integers(0, 99)))
    turns = draw(st.integers(0, 3))
    height, width = TurnedImage(image).shape(turns)
    left, top = draw(st.integers(0, width - 60)), draw(st.integers(0, height - 60))
    right, bottom = draw(st.integers(left + 60, width)), draw(st.integers(top + 60, height))
    scale = draw(st.floats(0.15, 1.5))
    return image, turns, (left, top, right, bottom), (round((right - left) * scale), round((bottom - top) * scale))


@given(searched())
def test_a_part_is_what_the_turned_image_shows_there(case: tuple[Image, int, Box, tuple[int, int]]) -> None:
    image, turns, box, size = case
    part = TurnedImage(image).part(box, turns, size)
    expected = resized(np.ascontiguousarray(np.rot90(image, turns)), box, size)
    assert part.shape == expected.shape
    assert np.abs(part.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("turns", range(4))
def test_an_image_has_the_shape_of_its_turned_pixels(turns: int) -> None:
    image = smooth(30, 50)
    assert TurnedImage(image).shape(turns) == np.rot90(image, turns).shape[:2]


@pytest.mark.parametrize("shrunk", [2, 5])
def test_a_part_is_resized_once_for_all_turns(shrunk: int) -> None:
    image = smooth(300, 400)
    turned = TurnedImage(image)
    first = turned.part((0, 0, 400, 300), 0, (400 // shrunk, 300 // shrunk))
    second = turned.part((0, 0, 300, 400), 1, (300 // shrunk, 400 // shrunk))
    assert np.shares_memory(first, second)


def test_a_part_that_shrinks_much_is_an_average_of_all_its_pixels() -> None:
    dots = np.zeros((480, 640, 3), np.uint8)
    dots[::2, ::2] = 255
    part = TurnedImage(dots).part((0, 0, 640, 480), 0, (96, 72))
    assert np.abs(part.astype(int) - 64).max() <= 1
