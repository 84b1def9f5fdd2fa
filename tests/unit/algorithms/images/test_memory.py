"""Estimates of the memory that decoding takes."""

from __future__ import annotations

import pytest
from PIL import Image as PillowImage

from bench.speed.decoding import FORMATS
from deployments.algorithms.images.decoding import ImageLimits, inspect
from deployments.errors import ImageTooLarge

SIZE = (1500, 1000)


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_that_needs_more_than_the_budget_is_refused_from_its_header(name: str) -> None:
    data = FORMATS[name](PillowImage.new("RGB", SIZE))
    with pytest.raises(ImageTooLarge, match="MB are allowed"):
        inspect(data, ImageLimits(max_decoding_bytes=4 * SIZE[0] * SIZE[1]))
    assert (inspect(data).width, inspect(data).height) == SIZE
