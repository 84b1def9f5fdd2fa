"""Conversion of decoded pixels (16 bits, palettes, transparency, CMYK, colour profiles) to plain 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from deployments.algorithms.images.colour_profiles import BAND_PIXELS, Curve
from deployments.contracts.arrays import Image

TWELVE_BITS = 4095
"""White of 12-bit samples, the usual depth of cameras."""
BRIGHTEST_LIGHT = 16.0
"""Least floating-point sample that is a number up to 255 or more, not light with white at 1 and highlights above."""

Convert = Callable[[PillowImage.Image], NDArray[np.uint8]]
"""Band of a Pillow image -> `uint8[H, W, C]`."""


def to_rgb8(
    picture: PillowImage.Image,
    *,
    keep_cmyk: bool = False,
    levels: tuple[int, int] | None = None,
    grey_curve: Curve | None = None,
) -> Image:
    """Convert a loaded Pillow image of any mode to `uint8[H, W, 3]`, not turned; to `uint8[H, W, 4]` if CMYK is kept.

    Transparency is laid on white. Samples of more than 8 bits are scaled, never clipped: by `levels`, black and
    white of 16-bit samples where they are known, else by the smallest usual range that holds them. `grey_curve`: the
    tones of a grey image in sRGB. Raises `ValueError` for a mode without a meaning in RGB.
    """
    convert = _converter(picture, keep_cmyk, levels, grey_curve)
    width, height = picture.size
    rows = max(1, BAND_PIXELS // width)
    if rows >= height:
        return convert(picture)
    first = convert(picture.crop((0, 0, width, rows)))
    pixels = np.empty((height, width, first.shape[2]), np.uint8)
    pixels[:rows] = first
    for top in range(rows, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = convert(picture.crop((0, top, width, bottom)))
    return pixels


def _converter(
    picture: PillowImage.Image, keep_cmyk: bool, levels: tuple[int, int] | None, grey_curve: Curve | None
) -> Convert:
    mode = picture.mode
    if mode.startswith("I;16"):
        return _scaled(*(levels or (0, 65535)), grey_curve)
    if mode in ("I", "F"):
        return _scaled(*_range(picture), grey_curve)
    if grey_curve is not None:
        tones = np.rint(grey_curve).astype(np.uint8)
        return lambda band: tones[_of_8_bits(band)]
    if mode == "CMYK" and keep_cmyk:
        return _array
    return _of_8_bits


def _of_8_bits(band: PillowImage.Image) -> NDArray[np.uint8]:
    if band.has_transparency_data:
        return _on_white(band)
    return _array(band if band.mode == "RGB" else band.convert("RGB"))  # converting RGB would copy


def _array(band: PillowImage.Image) -> NDArray[np.uint8]:
    return np.asarray(band, dtype=np.uint8)


def _on_white(band: PillowImage.Image) -> NDArray[np.uint8]:
    clear = band.convert("RGBA")
    if clear.getchannel("A").getextrema() == (255, 255):
        return _array(clear.convert("RGB"))
    white = PillowImage.new("RGBA", clear.size, "white")
    return _array(PillowImage.alpha_composite(white, clear).convert("RGB"))


def alpha_of(picture: PillowImage.Image) -> NDArray[np.uint8] | None:
    """Read the opacity `uint8[H, W]` of a loaded image, not turned; None when all of it is opaque."""
    if not picture.has_transparency_data:
        return None
    alpha = (picture if "A" in picture.getbands() else picture.convert("RGBA")).getchannel("A")
    return None if alpha.getextrema() == (255, 255) else _array(alpha)


def _range(picture: PillowImage.Image) -> tuple[float, float]:
    """Guess black and white level of samples that may lie anywhere; those that are no finite number do not count."""
    lowest, highest = _extrema(picture)
    if lowest < 0:
        return lowest, highest
    if picture.mode == "F" and highest < BRIGHTEST_LIGHT:
        return 0, max(1, highest)
    return 0, next((white for white in (255, TWELVE_BITS, 65535) if highest <= white), highest)


def _extrema(picture: PillowImage.Image) -> tuple[float, float]:
    """Find the lowest and the highest finite sample; 0 and 0 where there is none."""
    width, height = picture.size
    rows = max(1, BAND_PIXELS // width)
    lowest, highest = np.inf, -np.inf
    for top in range(0, height, rows):
        band = np.asarray(picture.crop((0, top, width, min(top + rows, height))))
        finite = band[np.isfinite(band)]
        if finite.size:
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    return (lowest, highest) if lowest <= highest else (0.0, 0.0)


def _scaled(black: float, white: float, curve: Curve | None) -> Convert:
    scale = 255 / (white - black) if white != black else 0.0

    def convert(band: PillowImage.Image) -> NDArray[np.uint8]:
        samples = np.nan_to_num(np.asarray(band, dtype=np.float64), nan=black, posinf=white, neginf=black)
        levels = np.clip((samples - black) * scale, 0, 255)
        if curve is not None:
            levels = np.interp(levels, np.arange(256), curve)
        return np.repeat(np.rint(levels).astype(np.uint8)[:, :, None], 3, axis=2)

    return convert


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation, 1 to 8. Returns a view, not a copy."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
