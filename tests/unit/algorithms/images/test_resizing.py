"""Shrinking of images."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.images.resizing import shrink, shrink_by_halves
from tests.support.builders import a_photo


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100))
def test_an_image_shrunk_by_halves_has_the_longest_side_of_one_shrunk_at_once(
    height: int, width: int, max_px: int
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    once, halved = shrink(image, max_px).shape, shrink_by_halves(image, max_px).shape
    assert max(halved) <= max(max_px, 3)
    assert abs(once[0] - halved[0]) <= 1 + once[0] // 10
    assert abs(once[1] - halved[1]) <= 1 + once[1] // 10


@given(st.integers(64, 200))
def test_an_image_shrunk_by_halves_looks_like_one_shrunk_at_once(max_px: int) -> None:
    image = a_photo("coffee")[:384, :512]
    once, halved = (how(image, max_px).astype(int) for how in (shrink, shrink_by_halves))
    assert np.abs(once - halved).mean() < 4


def test_an_image_that_is_small_enough_stays_as_it_is() -> None:
    image = a_photo("coffee")
    assert shrink_by_halves(image, 600) is image
