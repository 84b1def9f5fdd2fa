"""Conversion of decoded pixels (16 bits, palettes, transparency, CMYK, colour profiles) to plain 8-bit RGB."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms

from deployments.contracts.arrays import Image

BAND_PIXELS = 4_000_000
"""Pixels converted at a time: what a conversion needs besides its result stays under about 50 MB."""
MAX_PROFILE_BYTES = 4 * 2**20
"""Larger colour profiles are ignored; those of printing presses have up to 3 MB."""

Convert = Callable[[PillowImage.Image], NDArray[np.uint8]]
"""Band of a Pillow image -> `uint8[H, W, C]`."""


def to_rgb8(picture: PillowImage.Image, *, keep_cmyk: bool = False, sample_bits: int | None = None) -> Image:
    """Convert a loaded Pillow image of any mode to `uint8[H, W, 3]`, not turned; to `uint8[H, W, 4]` if CMYK is kept.

    Transparency is laid on white. Samples of more than 8 bits are scaled, never clipped: by `sample_bits` where the
    file tells it, else by the smallest usual range that holds them. Raises `ValueError` for a mode without a meaning
    in RGB.
    """
    convert = _converter(picture, keep_cmyk, sample_bits)
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


def _converter(picture: PillowImage.Image, keep_cmyk: bool, sample_bits: int | None) -> Convert:
    mode = picture.mode
    if mode.startswith("I;16"):
        return _scaled(0, (1 << sample_bits) - 1 if sample_bits and 8 < sample_bits < 16 else 65535)
    if mode in ("I", "F"):
        return _scaled(*_range(picture))
    if picture.has_transparency_data:
        return _on_white
    if mode == "CMYK" and keep_cmyk:
        return _array
    if mode == "RGB":
        return _array  # converting would copy
    return lambda band: _array(band.convert("RGB"))


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
    alpha = picture.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else _array(alpha)


def _range(picture: PillowImage.Image) -> tuple[float, float]:
    """Guess black and white level of samples that may lie anywhere."""
    lowest, highest = (float(value) for value in picture.getextrema())  # type: ignore[arg-type]  # one band: two numbers
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ValueError("the samples are not finite")
    if picture.mode == "F" and lowest >= 0 and highest <= 1:
        return 0, 1
    for white in (255, 65535):
        if lowest >= 0 and highest <= white:
            return 0, white
    return lowest, highest


def _scaled(black: float, white: float) -> Convert:
    scale = 255 / max(white - black, 1e-9)

    def convert(band: PillowImage.Image) -> NDArray[np.uint8]:
        samples = (np.nan_to_num(np.asarray(band, dtype=np.float64)) - black) * scale
        grey = np.clip(np.rint(samples), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)

    return convert


def has_foreign_profile(profile: bytes | None, mode: str) -> bool:
    """Tell whether an embedded ICC profile gives the numbers of an RGB or CMYK image another meaning than sRGB."""
    if not profile or len(profile) > MAX_PROFILE_BYTES or len(profile) < 128:
        return False
    space = profile[16:20]
    if mode == "CMYK":
        return space == b"CMYK"
    if space != b"RGB ":
        return False
    return b"sRGB" not in profile and "sRGB".encode("utf-16-be") not in profile


def to_srgb(pixels: NDArray[np.uint8], profile: bytes) -> Image:
    """Convert `uint8[H, W, 3]` RGB or `uint8[H, W, 4]` CMYK in the colours of an ICC profile to sRGB.

    Phones store Display P3, cameras Adobe RGB: taken for sRGB both look pale. A profile that cannot be used is ignored.
    """
    picture = PillowImage.fromarray(pixels, "RGB" if pixels.shape[2] == 3 else "CMYK")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = None
    return _array(converted or picture.convert("RGB"))


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation, 1 to 8. Returns a view, not a copy."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
