"""A TIFF that is not read is refused with the name of its kind."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.images.tiff_kinds import compression_name, samples_name
from deployments.errors import UnsupportedImage
from tests.support.builders import an_image
from tests.unit.algorithms.images.test_colours import decode, tiff


def test_the_samples_of_a_refused_tiff_are_named() -> None:
    with pytest.raises(UnsupportedImage, match="3 channels of 32 bits, floating-point numbers"):
        decode(tiff(an_image((60, 40)).astype(np.float32)), 64)


@pytest.mark.parametrize("is_big", [False, True])
def test_the_samples_of_a_bigtiff_are_named_too(is_big: bool) -> None:
    data = tiff(an_image((60, 40)).astype(np.float32), bigtiff=is_big)
    assert samples_name(data) == "3 channels of 32 bits, floating-point numbers"


@pytest.mark.parametrize(("code", "name"), [(4, "Group 4"), (34712, "JPEG 2000"), (50000, "Zstandard"), (7777, "7777")])
def test_the_compression_of_a_refused_tiff_is_named(code: int, name: str) -> None:
    entries = [(256, 8), (257, 8), (259, code)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    with pytest.raises(UnsupportedImage, match=name):
        decode(data, 64)
    assert name in compression_name(code)


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0"]))
def test_the_samples_of_damaged_bytes_have_a_name_or_none_but_no_error(rest: bytes, start: bytes) -> None:
    assert isinstance(samples_name(start + bytes(12) + rest), str)
