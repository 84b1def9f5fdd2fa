"""Generation parameters in image files, and layers of decoded images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.image_metadata import FileFormat, encode_picture, read_texts
from deployments.algorithms.images.decoding import decode, decode_layers
from tests.support.builders import an_image, encoded

FORMATS: list[FileFormat] = ["png", "jpg", "webp"]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", ["a cat\nSteps: 20", "ein Kätzchen, 猫 🐈", ""])
def test_parameters_written_into_a_file_are_read_back(format: FileFormat, text: str) -> None:
    assert read_texts(encode_picture(an_image(), text, format)).get("parameters", "") == text


def test_a_png_keeps_every_pixel() -> None:
    image = an_image()
    assert np.array_equal(decode(encode_picture(image, "x"), 1000), image)


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "AVIF"])
def test_files_of_other_formats_have_no_texts(format: str) -> None:
    assert read_texts(encoded(an_image(), format)) == {}


@given(st.integers(0, 4000), st.integers(0, 255))
def test_reading_texts_of_damaged_files_never_fails(place: int, value: int) -> None:
    data = bytearray(encode_picture(an_image((32, 32)), "a cat, Steps: 20"))
    data[place % len(data)] = value
    read_texts(bytes(data))


def test_decoded_layers_are_the_image_on_white_and_its_alpha() -> None:
    rgba = np.dstack([an_image((8, 4)), np.full((4, 8), 0, np.uint8)])
    rgba[:, :4, 3] = 255
    image, alpha = decode_layers(encoded(rgba, "PNG"))
    assert np.array_equal(image[:, :4], rgba[:, :4, :3])
    assert np.all(image[:, 4:] == 255)
    assert alpha is not None
    assert np.array_equal(alpha, rgba[..., 3])


def test_an_opaque_image_has_no_alpha() -> None:
    assert decode_layers(encoded(an_image(), "PNG"))[1] is None
