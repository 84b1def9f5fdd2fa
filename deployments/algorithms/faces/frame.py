"""Face coordinates: upright, around the middle of the eyes, in lengths that turning the head hardly changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.images.affine import fit_square, invert, move_points
from deployments.contracts.arrays import Floats, Matrix
from deployments.contracts.portraits import SegmentedFace

_TO_CHIN_PER_EYES = 1.75
"""Eyes to chin, in distances between the eyes, of a face seen from the front (measured, see docs/segmentation.md)."""


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """Position, size and roll of a face's coordinates in the image."""

    origin: Floats
    """Middle between the eyes, pixels."""
    unit: float
    """Height of the face from the eyes to the chin, pixels, at least half a pixel."""
    roll: float
    """Radians, clockwise."""

    def window(self, side: float, centre: tuple[float, float], size: int) -> Matrix:
        """Map the image's square of `side` units around `centre` (right, down) upright to `size` pixels."""
        return fit_square(self.point(*centre), side * self.unit, self.roll, size)

    def point(self, right: float, down: float) -> Floats:
        """Convert a place in units (right, down from the origin) to image coordinates `float32[2]`."""
        turn = np.array([[np.cos(self.roll), -np.sin(self.roll)], [np.sin(self.roll), np.cos(self.roll)]])
        return np.asarray(self.origin + turn @ np.array([right, down]) * self.unit, np.float32)

    def units(self, points: NDArray[np.floating]) -> Floats:
        """Convert image coordinates `[N, 2]` to units, right and down from the origin."""
        return move_points(points, fit_square(self.origin, self.unit, self.roll, 1)) - np.float32(0.5)

    def pixels(self, points: NDArray[np.floating]) -> Floats:
        """Convert units `[N, 2]`, right and down from the origin, to image coordinates."""
        return move_points(points + np.float32(0.5), invert(fit_square(self.origin, self.unit, self.roll, 1)))


def frame_of(face: SegmentedFace) -> FaceFrame:
    """Derive a face's coordinates from its landmarks.

    Profiles bring the eyes together and a bowed head the chin close to them: the larger of the two says the size.
    """
    marks = {name: np.asarray(face.landmarks[name], np.float32) for name in ("left_eye", "right_eye", "chin")}
    origin = np.asarray((marks["left_eye"] + marks["right_eye"]) / 2, np.float32)
    eyes = float(np.linalg.norm(marks["right_eye"] - marks["left_eye"]))
    to_chin = float(np.linalg.norm(marks["chin"] - origin))
    return FaceFrame(origin, max(to_chin, eyes * _TO_CHIN_PER_EYES * 0.8, 0.5), float(np.radians(face.roll)))
