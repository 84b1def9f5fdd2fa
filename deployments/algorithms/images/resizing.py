"""Image resizing by OpenCV, and the working size of diffusion models."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_STEP_PX = 8
"""Width of a latent, pixels."""


def working_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Compute width and height, multiples of 8, of about `pixels` pixels in the shape of `width` by `height`."""
    scale = (pixels / (width * height)) ** 0.5
    return _rounded(width * scale), _rounded(height * scale)


def _rounded(side: float) -> int:
    return max(_STEP_PX, round(side / _STEP_PX) * _STEP_PX)


def shrink(image: NDArray[np.uint8], max_px: int) -> NDArray[np.uint8]:
    """Shrink by area averages so that the longest side is at most `max_px`; unchanged if it already is."""
    height, width = image.shape[:2]
    longest = max(width, height)
    if longest <= max_px:
        return image
    size = (max(1, round(width * max_px / longest)), max(1, round(height * max_px / longest)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrink_by_halves(image: NDArray[np.uint8], max_px: int) -> NDArray[np.uint8]:
    """Shrink as `shrink` does, by halves as far as they go: OpenCV halves ten times as quickly as it averages by other
    factors. Levels are rounded at each half, and an odd line at the border is left out."""
    while max(image.shape[:2]) >= 2 * max_px and min(image.shape[:2]) > 1:
        height, width = (side // 2 for side in image.shape[:2])
        image = resize(image[: 2 * height, : 2 * width], (width, height))
    return shrink(image, max_px)


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to `size` (width, height): by area averages where the width shrinks, else by bicubic interpolation."""
    if (image.shape[1], image.shape[0]) == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)
