"""Colours as files mean them: profiles by what they say, greys in linear light, samples of 12 bits."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageCms

from deployments.algorithms.images.decoding import decode, decode_layers
from deployments.algorithms.images.identity import describe_shown
from deployments.errors import UnsupportedImage
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.icc import P3, SRGB, grey_profile, rgb_profile

SIDE = 8
TWELVE = np.linspace(0, 4095, 256).astype(np.uint16)[None].repeat(4, axis=0)


def shown(colour: tuple[int, int, int], profile: bytes | None, format: str = "PNG") -> list[int]:
    """The colour that a flat image in these numbers is decoded to."""
    data = encoded(a_flat_image((SIDE, SIDE), colour), format, icc_profile=profile)
    return [int(value) for value in decode(data, 64)[4, 4]]


@pytest.mark.parametrize("name", ["Display P3", "DCI-P3 D65 Gamut with sRGB Transfer", "P3 (sRGB curve)", ""])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_a_wide_gamut_is_shown_in_srgb_whatever_its_profile_is_called(name: str, format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(a_flat_image((SIDE, SIDE), (188, 98, 71)), format, icc_profile=rgb_profile(name, P3), **options)
    assert np.abs(decode(data, 64)[4, 4].astype(int) - (202, 91, 62)).max() <= 1


@pytest.mark.parametrize("name", ["GIMP built-in Linear sRGB", "linear Rec709 RGB", "sRGB"])
def test_linear_light_is_shown_in_srgb_whatever_its_profile_is_called(name: str) -> None:
    assert shown((55, 55, 55), rgb_profile(name, SRGB, 1.0)) == [128] * 3


@pytest.mark.parametrize("name", ["c2", "sRGB IEC61966-2.1", "Display P3"])
def test_a_profile_that_says_srgb_changes_no_pixel_whatever_it_is_called(name: str) -> None:
    image = an_image((60, 40))
    assert np.array_equal(decode(encoded(image, "PNG", icc_profile=rgb_profile(name)), 64), image)
    builtin = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(encoded(image, "PNG", icc_profile=builtin), 64), image)


@settings(max_examples=40, deadline=None)
@given(colour=st.tuples(*[st.integers(0, 255)] * 3), gamma=st.sampled_from([None, 1.0, 1.8, 2.2, 2.6]))
def test_every_colour_of_a_profile_comes_out_as_its_primaries_and_curve_say(
    colour: tuple[int, int, int], gamma: float | None
) -> None:
    values = np.array(colour) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    if gamma is not None:
        light = values**gamma
    linear = np.clip(np.linalg.inv(np.array(SRGB).T) @ (np.array(P3).T @ light), 0, 1)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(np.array(shown(colour, rgb_profile("sRGB", P3, gamma))) - expected).max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "F"])
def test_a_grey_image_in_linear_light_is_shown_in_srgb(mode: str) -> None:
    values: dict[str, Any] = {
        "L": PillowImage.new("L", (SIDE, SIDE), 55),
        "LA": PillowImage.new("LA", (SIDE, SIDE), (55, 255)),
        "I;16": np.full((SIDE, SIDE), 55 * 257, np.uint16),
        "F": np.full((SIDE, SIDE), 55 / 255, np.float32),
    }
    form = "TIFF" if mode == "F" else "PNG"
    data = encoded(values[mode], form, icc_profile=grey_profile("grey, not sRGB", 1.0))
    assert decode(data, 64)[4, 4].tolist() == [128] * 3


def test_dark_linear_greys_of_16_bits_keep_their_steps() -> None:
    ramp = np.arange(0, 256, dtype=np.uint16)[None].repeat(4, axis=0)
    dark = decode(encoded(ramp, "PNG", icc_profile=grey_profile("linear", 1.0)), 512)[0, :, 0]
    assert len(set(dark.tolist())) > 10, "eight linear bits have two values here"


def test_a_grey_profile_that_says_srgb_changes_no_pixel() -> None:
    image = PillowImage.fromarray(an_image((60, 40))).convert("L")
    plain = decode(encoded(image, "PNG"), 64)
    assert np.array_equal(decode(encoded(image, "PNG", icc_profile=grey_profile("Gray")), 64), plain)


def test_a_profile_for_another_kind_of_pixels_is_ignored() -> None:
    image = an_image((60, 40))
    assert np.array_equal(decode(encoded(image, "PNG", icc_profile=grey_profile("linear", 1.0)), 64), image)


def test_colours_at_full_size_are_those_of_the_small_decode() -> None:
    image = a_flat_image((1100, 1000), (188, 98, 71))
    data = encoded(image, "PNG", icc_profile=rgb_profile("sRGB?", P3), compress_level=1)
    assert np.array_equal(decode_layers(data)[0], decode(data, 1100))


def test_a_profile_that_changes_colours_changes_what_a_file_shows_and_one_that_is_srgb_does_not() -> None:
    image = a_flat_image((11, 10), (188, 98, 71))
    plain, wide, srgb = (
        describe_shown(encoded(image, "PNG", icc_profile=profile)).digest
        for profile in (None, rgb_profile("sRGB?", P3), rgb_profile("another name", SRGB))
    )
    assert plain == srgb != wide


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    options.setdefault("photometric", "rgb" if samples.ndim == 3 else "minisblack")
    tifffile.imwrite(file, samples, metadata=None, **options)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_twelve_bits_in_samples_of_sixteen_fill_the_range(order: Any, compression: str | None, channels: int) -> None:
    samples = TWELVE if channels == 1 else np.stack([TWELVE, TWELVE[:, ::-1], TWELVE], axis=-1)
    if channels == 4:
        samples = np.dstack([samples, np.full(TWELVE.shape, 65535, np.uint16)])
    data = tiff(samples, byteorder=order, compression=compression, **({"extrasamples": [2]} if channels == 4 else {}))
    pixels = decode(data, 512).astype(int)
    assert np.abs(pixels[0, :, 0] - np.arange(256)).max() <= 1
    if channels > 1:
        assert np.abs(pixels[0, :, 1] - np.arange(256)[::-1]).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_that_use_their_range_are_not_taken_for_twelve(channels: int) -> None:
    samples = (TWELVE.astype(int) * 16).astype(np.uint16)
    if channels == 3:
        samples = np.stack([samples] * 3, axis=-1)
    assert np.abs(decode(tiff(samples), 512)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_a_tiff_that_states_its_brightest_sample_is_scaled_by_it() -> None:
    samples = np.full((4, 256), 500, np.uint16)
    stated = tiff(samples, extratags=[(281, "H", 1, 1000, True)])
    assert decode(stated, 512)[0, 0].tolist() == [128] * 3


def test_greys_of_sixteen_bits_whose_zero_is_white_are_not_shown_as_a_negative() -> None:
    pixels = decode(tiff((TWELVE.astype(int) * 16).astype(np.uint16), photometric="miniswhite"), 512)
    assert np.abs(pixels[0, :, 0].astype(int) - np.arange(256)[::-1]).max() <= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("top", [1.0, 200.0, 60_000.0])
def test_a_sample_that_is_no_number_does_not_cost_the_rest_of_a_float_tiff(bad: float, top: float) -> None:
    samples = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(4, axis=0) * np.float32(top)
    whole = decode(encoded(samples, "TIFF"), 512)
    samples[2, 7] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = decode(encoded(samples, "TIFF"), 512)
    assert pixels[2, 7].tolist() == [255 if bad == np.inf else 0] * 3
    assert np.array_equal(pixels[:2], whole[:2])


def test_a_float_tiff_of_nothing_but_nan_is_black() -> None:
    assert not decode(encoded(np.full((4, 4), np.nan, np.float32), "TIFF"), 64).any()


def test_highlights_above_white_do_not_turn_a_float_tiff_black() -> None:
    samples = np.linspace(0, 1.5, 256, dtype=np.float32)[None].repeat(4, axis=0)
    assert np.abs(decode(encoded(samples, "TIFF"), 512)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["grey", "rgb", "deep"])
def test_a_bigtiff_decodes_like_a_tiff(compression: str | None, kind: str) -> None:
    image = an_image((60, 40))
    samples = {"grey": image[..., 0], "rgb": image, "deep": image[..., 0].astype(np.uint16) * 257}[kind]
    big = tiff(samples, bigtiff=True, compression=compression)
    assert big.startswith(b"II+\0")
    assert np.array_equal(decode(big, 64), decode(tiff(samples), 64))


@pytest.mark.parametrize(
    ("samples", "options", "name"),
    [
        (an_image((60, 40)), {"bigtiff": True, "byteorder": ">"}, "BigTIFF"),
        (an_image((60, 40)).astype(np.float32), {}, "kind of samples"),
    ],
)
def test_a_tiff_that_cannot_be_read_is_refused_by_name_and_not_called_damaged(
    samples: np.ndarray, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(UnsupportedImage, match=name):
        decode(tiff(samples, **options), 64)
