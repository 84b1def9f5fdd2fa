"""Decoding of the numbers that are in a file, for clients whose models read pictures so."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from deployments.algorithms.images.decoding import ImageLimits, decode_as_stored
from deployments.errors import ImageError, ImageTooLarge
from tests.support.builders import an_image, encoded, encoded_turned


def by_pillow(data: bytes) -> np.ndarray:
    with PillowImage.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def with_wide_colours() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return encoded(an_image(), icc_profile=profile.tobytes())


def with_transparency() -> bytes:
    return encoded(np.dstack([an_image(), np.full((64, 96), 40, np.uint8)]), "PNG")


def of_mode(mode: str, format: str) -> bytes:
    return encoded(PillowImage.fromarray(an_image()).convert(mode), format)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded_turned(an_image(), 6), id="turned by EXIF"),
        pytest.param(with_wide_colours(), id="with a colour profile"),
        pytest.param(with_transparency(), id="transparent"),
        pytest.param(of_mode("L", "JPEG"), id="grey"),
        pytest.param(of_mode("P", "PNG"), id="with a palette"),
        pytest.param(of_mode("1", "PNG"), id="black and white"),
        pytest.param(of_mode("CMYK", "JPEG"), id="CMYK"),
        pytest.param(encoded(an_image(), "WEBP"), id="WebP"),
    ],
)
def test_the_numbers_are_those_of_the_file(data: bytes) -> None:
    np.testing.assert_array_equal(decode_as_stored(data), by_pillow(data))


def test_sixteen_bits_are_scaled_where_pillow_would_cut_them_off() -> None:
    deep = np.linspace(0, 65_535, 96 * 64).reshape(64, 96).astype(np.uint16)
    pixels = decode_as_stored(encoded(PillowImage.fromarray(deep), "PNG"))
    assert pixels.shape == (64, 96, 3)
    assert (int(pixels.min()), int(pixels.max())) == (0, 255)
    assert abs(float(pixels.mean()) - 127.5) < 2


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_ends_early_is_refused(format: str) -> None:
    data = encoded(an_image(), format)
    with pytest.raises(ImageError):
        decode_as_stored(data[: len(data) // 2])


def test_a_picture_over_the_limit_is_refused_from_its_header() -> None:
    with pytest.raises(ImageTooLarge):
        decode_as_stored(encoded(an_image()), ImageLimits(max_pixels=100))
