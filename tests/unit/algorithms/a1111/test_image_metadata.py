"""Generation parameters in image files, and layers of decoded images."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.image_metadata import MAX_TEXT_BYTES, FileFormat, encode_picture, read_texts
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


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes, after: bool = False) -> bytes:
    """A PNG with more chunks before or after its pixels."""
    data = encoded(an_image((8, 8)), "PNG")
    at = -12 if after else 33
    return data[:at] + b"".join(chunks) + data[at:]


@pytest.mark.parametrize("after", [False, True])
def test_all_three_kinds_of_text_chunks_are_read_wherever_they_stand(after: bool) -> None:
    packed = zlib.compress("é".encode("latin-1") * 1000)
    data = png_with(
        chunk(b"tEXt", b"plain\0a \xe9"),
        chunk(b"zTXt", b"packed\0\0" + packed),
        chunk(b"iTXt", b"wide\0\0\0de\0breit\0" + "猫".encode()),
        chunk(b"iTXt", b"wide packed\0\1\0\0\0" + zlib.compress("猫".encode())),
        chunk(b"zTXt", b"damaged\0\0rubbish"),
        chunk(b"iTXt", b"cut"),
        after=after,
    )
    wide = {"wide": "猫", "wide packed": "猫"}
    assert read_texts(data) == {"plain": "a é", "packed": "é" * 1000} | wide


def test_texts_are_read_from_a_png_whose_pixels_cannot_be_decoded() -> None:
    head = struct.pack(">IIBBBBB", 8000, 8000, 8, 0, 0, 0, 0)
    broken = (chunk(b"IHDR", head), chunk(b"IDAT", b"no pixels"), chunk(b"tEXt", b"parameters\0a cat"))
    assert read_texts(b"\x89PNG\r\n\x1a\n" + b"".join(broken)) == {"parameters": "a cat"}


@pytest.mark.parametrize(
    "data",
    [
        png_with(*(chunk(b"zTXt", b"k%d\0\0" % number + zlib.compress(bytes(5_000_000))) for number in range(20))),
        png_with(*(chunk(b"tEXt", b"k%d\0" % number + b"\xe9" * 150_000) for number in range(9))),
        png_with(chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress("猫".encode() * 2_000_000))),
        encode_picture(an_image((8, 8)), "猫" * 300_000, "webp"),
        encode_picture(an_image((8, 8)), "x" * 30_000, "jpg"),
    ],
    ids=["packed", "plain", "wide", "webp", "jpg"],
)
def test_texts_of_one_file_are_bounded_together_and_unpacked_no_further(data: bytes) -> None:
    tracemalloc.start()
    try:
        texts = read_texts(data)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    size = sum(len(key.encode()) + len(text.encode()) for key, text in texts.items())
    assert 25_000 < size <= MAX_TEXT_BYTES + 100
