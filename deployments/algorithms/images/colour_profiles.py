"""Conversion of pixels to sRGB by what an embedded ICC profile says, whatever the profile calls itself.

Names do not help: phones call Display P3 "DCI-P3 D65 Gamut with sRGB Transfer", GIMP calls linear light "GIMP built-in
Linear sRGB". So littlecms converts a lattice of colours, and the profile counts as sRGB when none of them moves.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms

from deployments.contracts.arrays import Image

BAND_PIXELS = 2**18
"""Pixels converted at a time: what a conversion needs besides its result stays under about 8 MB, and in the processor's
cache: bands of a million took longer."""
MAX_PROFILE_BYTES = 4 * 2**20
"""Larger colour profiles are ignored; those of printing presses have up to 3 MB."""
SAME_LEVELS = 2
"""Levels of 255 by which no colour of a profile that is sRGB differs from it. Profiles written as sRGB differ by 0 or 1
(rounded primaries, tables for curves); a plain gamma of 2.2 instead of sRGB's curve already by 9."""
_SPACES = {"RGB": b"RGB ", "CMYK": b"CMYK", "L": b"GRAY"}
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
_LATTICE = 9
"""Values a channel in the lattice of colours: 729 colours, and 256 greys beside them."""
_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)

Curve = NDArray[np.float64]
"""sRGB value, 0 to 255, of each of 256 grey levels: `float64[256]`."""


class ColourProfile:
    """The embedded profile of an image, as far as it changes the image's colours. Damaged ones change nothing."""

    def __init__(self, profile: bytes | None, mode: str) -> None:
        """`mode`: Pillow's mode of the image. A profile for another kind of pixels is ignored; but a profile for RGB
        holds for a grey image too, whose colours have three equal parts."""
        space = profile[16:20] if profile and 128 <= len(profile) <= MAX_PROFILE_BYTES else b""
        self._transform: ImageCms.ImageCmsTransform | None = None
        self.grey_curve: Curve | None = None
        """Tones of a grey image, None where they are sRGB's. Applied before samples of more than 8 bits are narrowed:
        the darkest of 256 linear levels lie 13 levels of sRGB apart."""
        if profile and space == _SPACES["CMYK"] and mode == "CMYK":
            self._transform = _transform(profile, "CMYK")
        elif profile and space == _SPACES["RGB"] and mode != "CMYK":
            self._transform = _unless_srgb(_transform(profile, "RGB"))
        elif profile and space == _SPACES["L"] and (mode in _GREY_MODES or mode.startswith("I;16")):
            self.grey_curve = _curve(_transform(profile, "L"))

    @property
    def changes_colours(self) -> bool:
        """Whether the profile is for the image's kind of pixels and not sRGB's."""
        return self._transform is not None or self.grey_curve is not None

    @property
    def wants_cmyk(self) -> bool:
        """Whether `convert` takes CMYK instead of RGB."""
        return self._transform is not None and self._transform.input_mode == "CMYK"

    def convert(self, pixels: NDArray[np.uint8]) -> Image:
        """Convert `uint8[H, W, 3]` RGB, or `uint8[H, W, 4]` CMYK where it is wanted, to sRGB `uint8[H, W, 3]`."""
        if self._transform is None:
            return pixels
        converted = np.empty((*pixels.shape[:2], 3), np.uint8)
        rows = max(1, BAND_PIXELS // pixels.shape[1])
        for top in range(0, len(pixels), rows):
            converted[top : top + rows] = _apply(self._transform, pixels[top : top + rows])
        return converted


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # The tables that littlecms puts in the place of a grey curve show the darkest linear levels half as bright.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags)
    except _ERRORS:
        return None


def _apply(transform: ImageCms.ImageCmsTransform, pixels: NDArray[np.uint8]) -> Image:
    """Convert `uint8[H, W, C]`, or `uint8[H, W]` for greys."""
    picture = PillowImage.fromarray(pixels, transform.input_mode)
    return np.asarray(ImageCms.applyTransform(picture, transform), dtype=np.uint8)


def _unless_srgb(transform: ImageCms.ImageCmsTransform | None) -> ImageCms.ImageCmsTransform | None:
    """Return None for a transform of RGB that changes no colour visibly."""
    if transform is None:
        return None
    moved = np.abs(_apply(transform, _lattice()).astype(np.int16) - _lattice())
    return transform if moved.max() > SAME_LEVELS else None


def _curve(transform: ImageCms.ImageCmsTransform | None) -> Curve | None:
    if transform is None:
        return None
    levels = np.arange(256, dtype=np.uint8)
    tones = _apply(transform, levels[:, None])[:, 0, 1].astype(np.float64)
    return tones if np.abs(tones - levels).max() > SAME_LEVELS else None


@cache
def _lattice() -> NDArray[np.uint8]:
    """Colours all over RGB, and all greys: `uint8[985, 1, 3]`."""
    steps = np.linspace(0, 255, _LATTICE).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 1, 3)
    greys = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1).repeat(3, axis=2)
    return np.concatenate([colours, greys])
