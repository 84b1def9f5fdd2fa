"""Thumbnails of previews and of pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.algorithms.images.decoding import encode_jpeg
from deployments.algorithms.images.resizing import shrink
from deployments.algorithms.images.thumbnails import FORMATS, SIZES, Format, encode_thumbnail, make_thumbnail
from tests.support.builders import a_photo


def pixels_of(file: bytes) -> np.ndarray:
    with PillowImage.open(io.BytesIO(file)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_a_thumbnail_of_a_preview_shows_what_the_preview_shows(size: int, form: Format) -> None:
    photo = a_photo("coffee")
    found = pixels_of(make_thumbnail(encode_jpeg(photo), size, form)).astype(float)
    expected = shrink(photo, size)
    assert found.shape == expected.shape
    assert np.sqrt(np.mean((found - expected) ** 2)) < 8


@pytest.mark.parametrize("form", FORMATS)
def test_a_thumbnail_of_pixels_keeps_their_colours_in_order(form: Format) -> None:
    red = np.full((40, 60, 3), (220, 30, 10), np.uint8)
    found = pixels_of(encode_thumbnail(red, 256, form))
    assert found.shape == red.shape
    assert np.abs(found.astype(int) - red).max() < 8
