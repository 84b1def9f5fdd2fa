"""Parts of an image at the size of a detector's input, in all four quarter turns: each part is resized once."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.contracts.arrays import Image

Box = tuple[int, int, int, int]
"""Left, top (inclusive), right, bottom (exclusive), pixels."""


_HALVED_FROM = 4.0
"""Factor of shrinking from which on a part is cut from the image at half its size: OpenCV halves ten times as quickly
as it averages by other factors, and what is averaged twice is a grey level off at most at a sharp edge."""


class TurnedImage:
    """An image that is looked at in quarter turns, counter-clockwise ones as `np.rot90` has them. For one thread.

    Turning a small part costs nothing, while turning the image, and resizing its parts once more for each turn, takes
    as long as the detector itself.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._half: Image | None = None
        self._small: dict[tuple[Box, tuple[int, int]], Image] = {}

    def shape(self, turns: int) -> tuple[int, int]:
        """Height and width of the image after so many turns, pixels."""
        height, width = self._image.shape[:2]
        return (width, height) if turns % 2 else (height, width)

    def part(self, box: Box, turns: int, size: tuple[int, int]) -> Image:
        """Cut a box of the turned image and resize it to `size` (width, height): averaged where its width shrinks,
        interpolated where it grows."""
        upright = self._upright(box, turns)
        key = upright, size[::-1] if turns % 2 else size
        if key not in self._small:
            self._small[key] = self._resized(*key)
        return np.rot90(self._small[key], turns)

    def _upright(self, box: Box, turns: int) -> Box:
        """Find the box in the image as it is."""
        left, top, right, bottom = box
        height, width = self._image.shape[:2]
        return (
            (left, top, right, bottom),
            (width - bottom, left, width - top, right),
            (width - right, height - bottom, width - left, height - top),
            (top, height - right, bottom, height - left),
        )[turns % 4]

    def _resized(self, box: Box, size: tuple[int, int]) -> Image:
        left, top, right, bottom = box
        part = self._image[top:bottom, left:right]
        if min((right - left) / size[0], (bottom - top) / size[1]) >= _HALVED_FROM:
            part = self._halved()[top // 2 : bottom // 2, left // 2 : right // 2]
        method = cv2.INTER_AREA if size[0] < part.shape[1] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(part, size, interpolation=method), np.uint8)

    def _halved(self) -> Image:
        """The image at half its size, without the last row and column of an odd number."""
        if self._half is None:
            height, width = (side // 2 * 2 for side in self._image.shape[:2])
            half = cv2.resize(self._image[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            self._half = np.asarray(half, np.uint8)
        return self._half
