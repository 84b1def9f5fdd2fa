"""Previews: the pixels that Pillow decodes, by OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deployments.algorithms.images.decoding import decode, encode_jpeg
from deployments.algorithms.images.previews import decode_preview
from deployments.contracts.arrays import Image
from deployments.errors import ImageError
from tests.support.builders import an_image

_SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))


@given(arrays.arrays(np.uint8, _SIZES))
def test_a_preview_has_the_pixels_that_pillow_decodes(pixels: Image) -> None:
    data = encode_jpeg(pixels)
    np.testing.assert_array_equal(decode_preview(data, 40), decode(data, 40))


def test_a_preview_that_was_stored_under_a_larger_setting_is_shrunk() -> None:
    assert decode_preview(encode_jpeg(an_image((640, 320))), 200).shape == (100, 200, 3)


@pytest.mark.parametrize("damage", [lambda data: data[:-2], lambda data: data[: len(data) // 2], lambda _: b""])
def test_a_preview_that_ends_early_is_corrupt(damage) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ImageError) as error:
        decode_preview(damage(encode_jpeg(an_image((64, 48)))), 64)
    assert error.value.code == "corrupt"


def test_a_preview_whose_header_is_damaged_is_corrupt() -> None:
    data = b"\0\0" + encode_jpeg(an_image((64, 48)))[2:]
    with pytest.raises(ImageError) as error:
        decode_preview(data, 64)
    assert error.value.code == "corrupt"
