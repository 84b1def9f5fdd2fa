"""Polygons drawn into masks, exact to a sixteenth of a pixel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SHIFT = 4
_FARTHEST = 30_000.0
"""OpenCV's coordinates are 16 bits before the point."""


def fill(mask: NDArray[Any], polygon: NDArray[np.floating], value: float = 255) -> None:
    """Draw into `mask` what lies inside of the points `[N, 2]`, in `uint8` with a smooth edge."""
    points = np.clip(polygon, -_FARTHEST, _FARTHEST) * (1 << _SHIFT)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], value, lineType=cv2.LINE_AA, shift=_SHIFT)


def scaled(polygon: NDArray[np.floating], share: float) -> NDArray[np.float32]:
    """Larger or smaller about the middle of its bounds."""
    middle = (polygon.max(axis=0) + polygon.min(axis=0)) / 2
    return np.asarray((polygon - middle) * share + middle, np.float32)


def bounds(
    points: NDArray[np.floating], margin: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Upper left (inclusive) and lower right corner (exclusive) of what points reach within a picture of `shape`."""
    size = np.array(shape[1::-1], np.int64)
    low = np.clip(np.floor(points.min(axis=0) - margin).astype(np.int64), 0, size)
    high = np.clip(np.ceil(points.max(axis=0) + margin).astype(np.int64) + 1, 0, size)
    return low, high
