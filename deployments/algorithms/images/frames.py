"""Frames of animations and pages of scans, decoded one at a time to what they show."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import TiffImageFile

from deployments.algorithms.images.colour_profiles import ColourProfile
from deployments.algorithms.images.decoding import (
    ImageLimits,
    OpenFile,
    Source,
    decoder_errors,
    open_frames,
)
from deployments.algorithms.images.pixel_formats import to_rgb8, turn_upright
from deployments.algorithms.images.resizing import shrink
from deployments.algorithms.images.tiff_depth import grey_levels
from deployments.contracts.arrays import Image
from deployments.errors import image_error

_REDUCED_SUBFILE = 1
"""Bit of TIFF's NewSubfileType (tag 254): a thumbnail of another page, not a page."""
_BRIGHT = 240.0
"""Mean luma of what a file shows, 0 to 255, from which it would vanish on white and is laid on black."""


class ImageFrames:
    """The frames of one file, from the first on. A context manager that closes the file."""

    def __init__(self, source: Source, limits: ImageLimits | None = None) -> None:
        """Open the file. Raises `ImageError` as `decoding.inspect` does."""
        self._limits = limits or ImageLimits()
        self.file: OpenFile = open_frames(source, self._limits)
        sizes: dict[int, int] = {}
        with decoder_errors():
            sizes.update(self._pages())
        self.indices: tuple[int, ...] = tuple(sizes)
        """Indices of the frames for `load` and `show`; one at least."""
        self.pixels = sum(sizes.values())
        """Pixels of all frames together, as far as the headers say."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.file.picture.close()

    def load(self, index: int) -> PillowImage.Image:
        """Decode a frame as Pillow has it, not turned. Raises `ImageError` for a damaged one or one over the limits."""
        picture = self.file.picture
        with decoder_errors():
            picture.seek(index)
            width, height = picture.size
        if width * height > self._limits.max_pixels:
            raise image_error(
                "too_many_pixels", f"At most {self._limits.max_pixels} pixels are allowed, a page has more"
            )
        with decoder_errors():
            picture.load()
            return picture

    def show(self, index: int, max_px: int) -> Image:
        """Decode a frame to upright sRGB, longest side at most `max_px`; transparency on white, or on black where all
        that it shows is nearly white. Raises as `load` does."""
        picture = self.load(index)
        with decoder_errors():
            colours = ColourProfile(picture.info.get("icc_profile"), picture.mode)
            if _vanishes_on_white(picture):
                pixels = to_rgb8(_on_black(picture), keep_cmyk=False)
            else:
                levels = grey_levels(picture) if isinstance(picture, TiffImageFile) else None
                pixels = to_rgb8(picture, keep_cmyk=colours.wants_cmyk, levels=levels, grey_curve=colours.grey_curve)
            shown = colours.convert(shrink(pixels, max_px))
        return np.ascontiguousarray(turn_upright(shown, self.file.turn))

    def _pages(self) -> Iterator[tuple[int, int]]:
        """Iterate (index, pixels) of the frames."""
        picture = self.file.picture
        for index in range(getattr(picture, "n_frames", 1)):
            if index and isinstance(picture, TiffImageFile):
                picture.seek(index)
                if picture.tag_v2.get(254, 0) & _REDUCED_SUBFILE:
                    continue
            yield index, picture.size[0] * picture.size[1]
        picture.seek(0)


def _vanishes_on_white(picture: PillowImage.Image) -> bool:
    """Tell whether a loaded image has clear parts and shows nothing but near white in the others."""
    if not picture.has_transparency_data:
        return False
    rgba: NDArray[np.uint8] = shrink(np.asarray(picture.convert("RGBA")), 512)
    alpha = rgba[..., 3].astype(np.float32)
    if alpha.min() == 255 or alpha.max() == 0:
        return False
    luma = rgba[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return bool((luma * alpha).sum() / alpha.sum() >= _BRIGHT)


def _on_black(picture: PillowImage.Image) -> PillowImage.Image:
    clear = picture.convert("RGBA")
    return PillowImage.alpha_composite(PillowImage.new("RGBA", clear.size, "black"), clear).convert("RGB")
