"""Face landmarks by MediaPipe's face mesh, 468 points of a face that has been detected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deployments.algorithms.faces.alignment import MESH_POINTS
from deployments.algorithms.images.affine import fit_square, invert, move_points, warp_square
from deployments.contracts.arrays import Floats, Image
from deployments.engines.runtime import InterpreterPool

_INPUT_PX = 192
_MARGIN = 1.5
"""Side of the crop over that of the face's box (mediapipe: modules/face_landmark/face_landmark_front_cpu.pbtxt)."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Face mesh fitted to a crop."""

    points: Floats
    """Points `float32[468, 3]`: x and y in pixels of the image; z, away from the camera, in pixels too."""
    presence: float
    """Probability that there is a face in the crop at all, 0 to 1."""


class FaceMesh:
    """Face mesh model. Thread-safe, one core a call."""

    files = ("face_landmark.tflite",)

    def __init__(self, weights_dir: Path, threads: int = 1) -> None:
        """Open the model; `threads`: calls that may run side by side."""
        self._model = InterpreterPool(weights_dir / self.files[0], threads)

    def fit(self, image: Image, centre: Floats, side: float, roll: float) -> Mesh:
        """Fit landmarks to the face in the square of `side` pixels around `centre`, turned by `roll` radians
        clockwise."""
        wide = max(side, 1.0) * _MARGIN
        place = fit_square(centre, wide, roll, _INPUT_PX)
        crop = warp_square(image, place, _INPUT_PX).astype(np.float32) / 255
        points, logit = sorted(self._model.run([crop[None]]), key=np.size, reverse=True)
        points = points.reshape(MESH_POINTS, 3)
        depths = points[:, 2:] * np.float32(wide / _INPUT_PX)
        presence = 1 / (1 + np.exp(-np.clip(float(logit.item()), -30, 30)))
        return Mesh(np.concatenate([move_points(points[:, :2], invert(place)), depths], axis=1), float(presence))
