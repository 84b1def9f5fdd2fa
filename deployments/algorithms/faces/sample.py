"""A drawn sample portrait with known landmarks, for the readiness checks of engines that need a face."""

from __future__ import annotations

import numpy as np

from deployments.contracts.arrays import Image
from deployments.contracts.portraits import Point, Segmentation, SegmentedFace

_LANDMARKS: dict[str, Point] = {
    "left_eye": (-0.4, -0.2),
    "right_eye": (0.4, -0.2),
    "nose_tip": (0.0, 0.2),
    "mouth_left": (-0.3, 0.5),
    "mouth_right": (0.3, 0.5),
    "upper_lip": (0.0, 0.43),
    "lower_lip": (0.0, 0.6),
    "chin": (0.0, 1.0),
    "left_temple": (-0.75, -0.2),
    "right_temple": (0.75, -0.2),
}
"""Landmarks from the middle of the face, in halves of its height."""
_WIDTH = 0.75
"""Width of the face, in its height."""


def sample_portrait(side: int = 64) -> tuple[Image, Segmentation]:
    """Draw a flat face before a grey wall, `uint8[side, side, 3]`, upright and looking ahead; returns its segmentation
    too."""
    middle, half = side / 2, side / 4
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    outline = middle + half * np.stack([_WIDTH * np.sin(angles), -np.cos(angles)], axis=1)
    rows, columns = np.mgrid[:side, :side] - middle + 0.5
    mask = np.where((columns / _WIDTH) ** 2 + rows**2 < half**2, 255, 0).astype(np.uint8)
    image = np.full((side, side, 3), 128, np.uint8)
    image[mask > 0] = (200, 160, 130)
    face = SegmentedFace(
        bbox=(middle - _WIDTH * half, middle - half, middle + _WIDTH * half, middle + half),
        score=1.0,
        landmarks={name: (middle + x * half, middle + y * half) for name, (x, y) in _LANDMARKS.items()},
        outline=outline.astype(np.float32),
        roll=0.0,
        yaw=0.0,
        pitch=0.0,
    )
    return image, Segmentation((face,), mask, mask.copy())
