"""Affine maps of the plane `float64[2, 3]`: fitting, inverting and applying them, and warping squares by them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Floats, Image, Matrix

_SMALLEST_SCALE = 1e-4
"""Scale under which a map is taken to shrink the image to nothing."""


def fit_similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> Matrix:
    """Fit the rotation, scale and shift, without mirroring, that bring `[N, 2]` points closest to their targets.

    Least squares in closed form (S. Umeyama, 1991, in the plane). Points that all coincide give scale 0.
    """
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - mean_s, target - mean_t
    spread = max(float((s * s).sum()), 1e-12)
    a = float((s * t).sum()) / spread
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / spread
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, mean_t - turn @ mean_s])


def fit_square(centre: NDArray[np.floating], side: float, roll: float, size: int) -> Matrix:
    """Map the square of `side` pixels around `centre`, turned clockwise by `roll` radians, upright to `size` pixels."""
    cos, sin = np.cos(roll) * size / side, np.sin(roll) * size / side
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([turn, size / 2 - turn @ np.asarray(centre, np.float64)])


def invert(matrix: Matrix) -> Matrix:
    """Invert an affine map."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def move_points(points: NDArray[np.floating], matrix: Matrix) -> Floats:
    """Map `[..., 2]` points by the matrix."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def quarter_turn_back(height: int, width: int, turns: int) -> Matrix:
    """Map points of `np.rot90(image, turns)` back to the image, which is `height` by `width` pixels."""
    return (
        np.array([[1.0, 0, 0], [0, 1, 0]]),
        np.array([[0.0, -1, width - 1], [1, 0, 0]]),
        np.array([[-1.0, 0, width - 1], [0, -1, height - 1]]),
        np.array([[0.0, 1, 0], [-1, 0, height - 1]]),
    )[turns % 4]


def bounding_square(points: NDArray[np.floating], roll: float) -> tuple[Floats, float]:
    """Find centre `float32[2]` and side of the smallest square, turned by `roll`, around `[N, 2]` points."""
    upright = fit_square(np.zeros(2), 1, roll, 1)[:, :2]
    turned = points @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = ((low + high) / 2) @ upright
    return centre.astype(np.float32), float((high - low).max())


def warp_square(image: Image, matrix: Matrix, size: int) -> Image:
    """Warp the image by the matrix to `uint8[size, size, 3]`, black outside its border.

    Where it shrinks to less than half it is averaged first: bilinear interpolation alone would skip pixels. Only the
    part that is needed is touched. A matrix that shrinks the image to nothing gives black.
    """
    if np.hypot(matrix[0, 0], matrix[0, 1]) < _SMALLEST_SCALE:
        return np.zeros((size, size, 3), np.uint8)
    inverse = invert(matrix)
    corners = move_points(np.array([[0.0, 0], [size, 0], [0, size], [size, size]]), inverse)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(np.int64) - 2, 0)
    high = np.maximum(np.ceil(corners.max(axis=0)).astype(np.int64) + 3, 0)
    part = image[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        return np.zeros((size, size, 3), np.uint8)
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ low
    shrink = 2 * float(np.hypot(matrix[0, 0], matrix[0, 1]))
    if shrink < 1:
        height, width = part.shape[:2]
        small = max(1, round(width * shrink)), max(1, round(height * shrink))
        ratio = np.array([width / small[0], height / small[1]])
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        # Whole numbers are pixel centres, so x = (x' + 1/2) * ratio - 1/2.
        local[:, 2] += local[:, :2] @ (ratio / 2 - 0.5)
        local[:, :2] *= ratio
    return np.asarray(cv2.warpAffine(part, local, (size, size), flags=cv2.INTER_LINEAR), np.uint8)
