"""Corners tracked between two images that nearly lie on one another (Lucas and Kanade), and maps through them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.duplicates.maps import as_projective, distance, warp
from deployments.contracts.arrays import Gray, Matrix, Vectors

_RETURNS_PX = 0.7
"""Distance within which a corner that was tracked there and back is at its place again."""
_MIN_CORNERS = 12
"""Corners that fix a projective map safely."""
_REACH_PX = 1.5
"""Distance within which a tracked corner agrees with the map, pixels."""
_MIN_AGREEING = 0.5
"""Share of the tracked corners that a map must explain."""


def track_corners(left: Gray | Vectors, right: Gray | Vectors, mask: NDArray[np.uint8]) -> tuple[Vectors, Vectors]:
    """Find corners of `right` inside `mask` again in `left`: their places in both, `float32[N, 2]`.

    On images of even local contrast, so that faint texture, of a table top say, counts like strong.
    """
    even_left, even_right = even_contrast(left), even_contrast(right)
    corners = cv2.goodFeaturesToTrack(even_right, 200, 0.01, 5, mask=mask)
    if corners is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    there, found = _track(even_right, even_left, corners)
    back, found_back = _track(even_left, even_right, there)
    returns = np.linalg.norm((back - corners)[:, 0], axis=1) < _RETURNS_PX
    kept = (found.ravel() > 0) & (found_back.ravel() > 0) & returns
    return there[kept, 0], corners[kept, 0]


@dataclass(frozen=True, slots=True)
class FittedMap:
    """Projective map through tracked corners."""

    matrix: Matrix
    """3 x 3."""
    agreeing: int
    """Corners that agree with it."""
    residual_px: float
    """Their median distance from their place."""


def fit_map(left: Gray, right: Gray, guess: Matrix) -> FittedMap | None:
    """Fit the projective map of `left` onto `right` that is near a guess.

    None where too few corners are found again, or no map explains half of them.
    """
    height, width = right.shape
    full = as_projective(guess)
    laid = warp(left, full, (width, height), cv2.INTER_LINEAR)
    seen = warp(np.ones(left.shape, np.uint8), full, (width, height), cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    there, here = track_corners(laid, right, cv2.erode(seen, np.ones((9, 9), np.uint8)))
    if len(there) < _MIN_CORNERS:
        return None
    correction, agrees = cv2.findHomography(there, here, cv2.RANSAC, _REACH_PX, maxIters=500, confidence=0.99)
    if correction is None or agrees.sum() < max(_MIN_CORNERS, _MIN_AGREEING * len(there)):
        return None
    kept = agrees.ravel() > 0
    residual_px = float(np.median(distance(correction, there[kept], here[kept])))
    return FittedMap(as_projective(correction @ full), int(kept.sum()), residual_px)


def even_contrast(pixels: Gray | Vectors) -> Gray:
    """Stretch each place to the same local contrast, 8 bits."""
    values = pixels.astype(np.float32)
    detail = values - cv2.GaussianBlur(values, (0, 0), 6.0)
    deviation = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 6.0)) + 4.0
    even: Gray = np.clip(128 + detail / deviation * 50, 0, 255).astype(np.uint8)
    return even


def _track(first: Gray, second: Gray, points: Vectors) -> tuple[Vectors, NDArray[np.uint8]]:
    """Track the points of `first` into `second`: their places there, and whether they were found."""
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01)
    start = np.zeros_like(points)
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, points, start, winSize=(13, 13), maxLevel=2, criteria=stop
    )
    return there, found
