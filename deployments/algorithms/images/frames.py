"""Frames of animations and pages of scans, decoded one at a time to what they show."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from pillow_heif import open_heif

from deployments.algorithms.images.colour_profiles import ColourProfile
from deployments.algorithms.images.decoding import (
    ImageLimits,
    OpenFile,
    Source,
    check_memory,
    decoder_errors,
    open_frames,
)
from deployments.algorithms.images.frame_counts import MAX_FRAMES, check_png_frames, gif_frames, tiff_pages
from deployments.algorithms.images.pixel_formats import to_rgb8, turn_upright
from deployments.algorithms.images.png import count_png_frames
from deployments.algorithms.images.resizing import shrink
from deployments.algorithms.images.tiff_depth import grey_levels
from deployments.contracts.arrays import Image
from deployments.errors import ImageError, image_error

MAX_PIXELS_IN_ALL = 500_000_000
"""Pixels of all frames up to which a file is decoded to tell what it shows: some ten seconds of work."""
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
        try:
            with decoder_errors():
                self.count, sizes = self._list()
        except ImageError:
            self.file.picture.close()
            raise
        self.indices: tuple[int, ...] = tuple(sizes)
        """Indices of the frames for `load` and `show`; of a file with more than may be looked at, the first alone."""
        self._pixels = tuple(sizes.values())
        self.pixels = sum(self._pixels)
        """Pixels of all frames in `indices` together, as far as the headers say."""

    @property
    def are_all(self) -> bool:
        """Whether `indices` holds all frames of the file (`frame_counts.MAX_FRAMES`)."""
        return len(self.indices) == self.count

    def at(self, share: float) -> int:
        """Find the index of the frame at this share, 0 to 1, of the file.

        Raises `ImageError` `too_many_pixels` where it cannot be reached: behind the first of too many frames, or, in an
        animation, behind more than `MAX_PIXELS_IN_ALL`, since each of its frames is made from those before.
        """
        place = round(share * (self.count - 1))
        if place >= len(self.indices):
            raise image_error("too_many_pixels", f"Of {self.count} frames or pages only the first is looked at")
        if not self._are_pages and place and sum(self._pixels[: place + 1]) > MAX_PIXELS_IN_ALL:
            raise image_error("too_many_pixels", f"At most {MAX_PIXELS_IN_ALL} pixels may lie before a frame")
        return self.indices[place]

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
            unpacked = max(width * height, _tile_pixels(picture))
        if unpacked > self._limits.max_pixels:
            raise image_error(
                "too_many_pixels", f"At most {self._limits.max_pixels} pixels are allowed, a page has more"
            )
        check_memory(picture, self.file.content_type, self._limits)
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

    @property
    def _are_pages(self) -> bool:
        """Whether each frame is decoded without those before it."""
        return self.file.content_type in ("image/tiff", "image/heic", "image/heif")

    def _list(self) -> tuple[int, dict[int, int]]:
        """Count the frames, and list the pixels of those that may be looked at by their indices."""
        picture, data = self.file.picture, self.file.data
        if isinstance(picture, TiffImageFile):
            count, is_allowed = tiff_pages(data)
            pages = dict(_tiff_pixels(picture)) if is_allowed else {0: picture.width * picture.height}
            return (len(pages) if is_allowed else max(count, 2)), pages
        if self.file.content_type == "image/gif":
            sizes = gif_frames(data)
        elif self._are_pages:
            sizes = [width * height for width, height in (page.size for page in open_heif(io.BytesIO(data)))]
        else:
            count = getattr(picture, "n_frames", 1)
            if isinstance(picture, PngImageFile) and picture.custom_mimetype == "image/apng":
                is_extra = bool(picture.default_image)
                check_png_frames(count - is_extra, count_png_frames(data))
            sizes = [picture.width * picture.height] * min(count, MAX_FRAMES + 1)
            if count > MAX_FRAMES:
                return count, {0: sizes[0]}
        sizes = sizes or [picture.width * picture.height]
        return len(sizes), dict(enumerate(sizes if len(sizes) <= MAX_FRAMES else sizes[:1]))


def _tiff_pixels(picture: TiffImageFile) -> Iterator[tuple[int, int]]:
    """Iterate (index, pixels) of the pages of a TIFF; its thumbnails are none."""
    for index in range(MAX_FRAMES):
        try:
            picture.seek(index)
        except EOFError:
            break
        if not index or not picture.tag_v2.get(254, 0) & _REDUCED_SUBFILE:
            yield index, picture.width * picture.height
    picture.seek(0)


def _tile_pixels(picture: PillowImage.Image) -> int:
    """Read how many pixels a tile of a TIFF has; 0 where it has none."""
    if not isinstance(picture, TiffImageFile):
        return 0
    return int(picture.tag_v2.get(322, 0)) * int(picture.tag_v2.get(323, 0))


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
