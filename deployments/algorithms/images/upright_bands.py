"""Upright rows of decoded images, a band at a time: beside the image itself no more than a band is in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from deployments.algorithms.images.colour_profiles import BAND_PIXELS
from deployments.algorithms.images.pixel_formats import turn_upright

EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"})
"""Pillow's modes of at most 8 bits whose images mean the same in RGB and alpha."""

Samples = NDArray[Any]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, pixels."""


class Cancelled(Exception):
    """Work that nobody waits for any more."""


def check_cancelled(is_cancelled: Callable[[], bool]) -> None:
    """Raise `Cancelled` where the work is not wanted any more."""
    if is_cancelled():
        raise Cancelled


class UprightBands(ABC):
    """Bands of an image from top to bottom, each `[H, W, C]`: colours, and alpha where any pixel is transparent."""

    def __init__(self, stored: tuple[int, int], turn: int, is_cancelled: Callable[[], bool]) -> None:
        """`stored`: width and height before the turn, an EXIF orientation, 1 to 8."""
        self._turn, self._is_cancelled = turn, is_cancelled
        self._stored = stored
        self.size = stored[::-1] if turn in (5, 6, 7, 8) else stored
        """Upright width and height, pixels."""
        self.is_clear = self._may_be_clear() and any(_clear(samples).any() for samples in self._read())

    def __iter__(self) -> Iterator[Samples]:
        """Iterate the bands; colours under full transparency are black, since nobody can see them."""
        for samples in self._read():
            if self.is_clear:
                yield _without_hidden(samples)
            else:
                yield samples[..., :3] if self._may_be_clear() else samples

    @abstractmethod
    def _may_be_clear(self) -> bool:
        """Tell whether the samples have an alpha channel, the fourth."""

    @abstractmethod
    def _crop(self, box: Box) -> Samples:
        """Read the samples of a part of the stored image."""

    def _read(self) -> Iterator[Samples]:
        (wide, high), (width, height) = self._stored, self.size
        rows = max(1, BAND_PIXELS // width)
        for top in range(0, height, rows):
            check_cancelled(self._is_cancelled)
            first, last = top, min(top + rows, height)
            if self._turn in (3, 4, 7, 8):
                first, last = height - last, height - first
            box = (first, 0, last, high) if self._turn in (5, 6, 7, 8) else (0, first, wide, last)
            yield turn_upright(self._crop(box), self._turn)


class PictureBands(UprightBands):
    """Bands of a loaded Pillow image: 8 bits, or as Pillow has them where its mode has no meaning in RGB."""

    def __init__(self, picture: PillowImage.Image, turn: int, is_cancelled: Callable[[], bool]) -> None:
        self._picture = picture
        self.is_eight_bit = picture.mode in EIGHT_BIT_MODES
        super().__init__(picture.size, turn, is_cancelled)

    def _may_be_clear(self) -> bool:
        return self.is_eight_bit and bool(self._picture.has_transparency_data)

    def _crop(self, box: Box) -> Samples:
        part = self._picture.crop(box)
        if self.is_eight_bit:
            part = part.convert("RGBA" if self._may_be_clear() else "RGB")
        return np.asarray(part)


class DeepBands(UprightBands):
    """Bands of an array `uint16[H, W, 3 or 4]`."""

    def __init__(self, samples: Samples, turn: int, is_bgr: bool, is_cancelled: Callable[[], bool]) -> None:
        """`is_bgr`: the colours are in OpenCV's order."""
        self._samples, self._is_bgr = samples, is_bgr
        super().__init__((samples.shape[1], samples.shape[0]), turn, is_cancelled)

    def _may_be_clear(self) -> bool:
        return bool(self._samples.shape[2] == 4)

    def _crop(self, box: Box) -> Samples:
        left, top, right, bottom = box
        part = np.ascontiguousarray(self._samples[top:bottom, left:right])
        if not self._is_bgr:
            return part
        ordered: Samples = cv2.cvtColor(part, cv2.COLOR_BGRA2RGBA if part.shape[2] == 4 else cv2.COLOR_BGR2RGB)
        return ordered


def _clear(samples: Samples) -> NDArray[np.bool_]:
    clear: NDArray[np.bool_] = samples[..., 3] != np.iinfo(samples.dtype).max
    return clear


def _without_hidden(samples: Samples) -> Samples:
    return np.where(samples[..., 3:] == 0, samples.dtype.type(0), samples)
