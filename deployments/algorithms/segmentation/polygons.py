"""Polygons: drawing into masks, exact to a sixteenth of a pixel, scaling and bounds."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SHIFT = 4
"""Fractional bits of OpenCV's coordinates."""
_FARTHEST = 30_000.0
"""Largest coordinate drawn: OpenCV's are 16 bits before the point."""


def fill(mask: NDArray[Any], polygon: NDArray[np.floating], value: float = 255) -> None:
    """Fill the polygon of points `[N, 2]` in `mask`, in `uint8` with a smooth edge."""
    points = np.clip(polygon, -_FARTHEST, _FARTHEST) * (1 << _SHIFT)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], value, lineType=cv2.LINE_AA, shift=_SHIFT)


def scaled(polygon: NDArray[np.floating], share: float) -> NDArray[np.float32]:
    """Scale a polygon by `share` about the middle of its bounds."""
    middle = (polygon.max(axis=0) + polygon.min(axis=0)) / 2
    return np.asarray((polygon - middle) * share + middle, np.float32)


def bounds(
    points: NDArray[np.floating], margin: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find upper left (inclusive) and lower right corner (exclusive) of what points reach within an image of
    `shape`."""
    size = np.array(shape[1::-1], np.int64)
    low = np.clip(np.floor(points.min(axis=0) - margin).astype(np.int64), 0, size)
    high = np.clip(np.ceil(points.max(axis=0) + margin).astype(np.int64) + 1, 0, size)
    return low, high
