"""Projective maps of the plane as 3 x 3 matrices, affine ones among them: points, local scale, foreshortening."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Matrix, Vectors

_MIN_DEPTH = 0.2
"""Least denominator of a point that is still in front of the camera."""


def as_projective(matrix: Matrix) -> Matrix:
    """Complete an affine map, 2 x 3, to 3 x 3; a 3 x 3 map is scaled so that its last number is 1."""
    if matrix.shape[0] == 2:
        return np.vstack([matrix, [0.0, 0.0, 1.0]])
    scaled: Matrix = matrix / matrix[2, 2]
    return scaled


def inverse(matrix: Matrix) -> Matrix:
    """Invert a map, to 3 x 3."""
    inverted: Matrix = np.linalg.inv(as_projective(matrix)).astype(np.float64)
    return as_projective(inverted)


def corners_of(frame: tuple[int, ...]) -> NDArray[np.float64]:
    """List the corners of a frame (height, width), clockwise from the upper left: `float64[4, 2]`."""
    height, width = frame
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def project(matrix: Matrix, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map points `[N, 2]`; those behind the camera are moved to its plane."""
    full = as_projective(matrix)
    mapped = points @ full[:, :2].T + full[:, 2]
    result: NDArray[np.float64] = mapped[:, :2] / np.maximum(mapped[:, 2:], 1e-6)
    return result


def local_map(matrix: Matrix, point: NDArray[np.float64]) -> Matrix:
    """Compute the linear map, 2 x 2, that a map is near a point."""
    full = as_projective(matrix)
    x, y, depth = full @ np.array([point[0], point[1], 1.0])
    depth = max(float(depth), 1e-6)
    result: Matrix = (full[:2, :2] - np.outer([x / depth, y / depth], full[2, :2])) / depth
    return result


def scale_at_centre(matrix: Matrix, frame: tuple[int, ...]) -> float:
    """Compute the factor by which a map enlarges the middle of a frame."""
    return float(np.sqrt(abs(np.linalg.det(local_map(matrix, corners_of(frame).mean(axis=0))))))


def foreshortening(matrix: Matrix, frame: tuple[int, ...]) -> float:
    """Compute how many times a map enlarges one corner of a frame more than another, in length: 1 for affine maps,
    infinite where a corner is behind the camera."""
    full = as_projective(matrix)
    depth = corners_of(frame) @ full[2, :2] + full[2, 2]
    if depth.min() < _MIN_DEPTH:
        return float("inf")
    # The area near a point grows by the determinant over the depth cubed.
    return float((depth.max() / depth.min()) ** 1.5)


def warp(
    pixels: NDArray[Any], matrix: Matrix, size: tuple[int, int], method: int, border: int = cv2.BORDER_REPLICATE
) -> NDArray[Any]:
    """Warp pixels into a frame (width, height) by OpenCV's `method`."""
    full = as_projective(matrix)
    warped: NDArray[Any]
    if not full[2, :2].any():
        warped = cv2.warpAffine(pixels, full[:2], size, flags=method, borderMode=border)
    else:
        warped = cv2.warpPerspective(pixels, full, size, flags=method, borderMode=border)
    return warped


def distance(matrix: Matrix, source: Vectors, target: Vectors) -> Vectors:
    """Measure how far mapped points are from their targets, pixels."""
    lengths: Vectors = np.linalg.norm(project(matrix, source) - target, axis=1).astype(np.float32)
    return lengths
