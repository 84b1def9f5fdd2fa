"""Registration of whole images that look alike from afar, where points say little: squeezed, posterised, tiny ones."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from deployments.algorithms.duplicates.maps import corners_of
from deployments.algorithms.duplicates.tracking import FittedMap, fit_map
from deployments.contracts.arrays import Gray, Matrix, Vectors

_SMALL_PX, _MIN_LIKENESS = 24, 0.5
"""Side of the small copies that are compared, and their least correlation; its sign is free."""


def lay_frames(left: Gray, right: Gray) -> tuple[bool, FittedMap] | None:
    """Lay the whole of `left` on the whole of `right` in the one of eight positions in which they look most alike.

    Returns whether `left` is to be mirrored, and the map; None where they look alike in none, or corners do not agree.
    """
    likeness, is_mirrored, guess = max(_positions(left, right), key=lambda position: position[0])
    if likeness < _MIN_LIKENESS:
        return None
    fitted = fit_map(np.ascontiguousarray(left[:, ::-1]) if is_mirrored else left, right, guess)
    return None if fitted is None else (is_mirrored, fitted)


def _positions(left: Gray, right: Gray) -> Iterator[tuple[float, bool, Matrix]]:
    """Iterate the likeness of small copies, whether `left` is mirrored, and the map of frame onto frame."""
    small, target = _small_copy(left), _small_copy(right)
    corners, frame = (corners_of(side.shape).astype(np.float32) for side in (left, right))
    for is_mirrored in (False, True):
        source = small[:, ::-1] if is_mirrored else small
        for turns in range(4):
            likeness = abs(float((np.rot90(source, turns) * target).mean()))
            # A quarter turn to the left brings the upper right corner to the upper left.
            yield likeness, is_mirrored, cv2.getPerspectiveTransform(corners, np.roll(frame, turns, axis=0))


def _small_copy(pixels: Gray) -> Vectors:
    small = cv2.resize(pixels, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), _SMALL_PX / 4)
    result: Vectors = (small - small.mean()) / max(1e-3, float(small.std()))
    return result
