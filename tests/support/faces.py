"""Faces of a known shape, as an engine describes them."""

from __future__ import annotations

import numpy as np

from deployments.contracts.portraits import SegmentedFace

LANDMARKS = {
    "left_eye": (-0.28, 0.0),
    "right_eye": (0.28, 0.0),
    "nose_tip": (0.0, 0.42),
    "mouth_left": (-0.22, 0.64),
    "mouth_right": (0.22, 0.64),
    "upper_lip": (0.0, 0.6),
    "lower_lip": (0.0, 0.74),
    "chin": (0.0, 1.0),
    "left_temple": (-0.58, 0.0),
    "right_temple": (0.58, 0.0),
}
"""Landmarks of an upright face, in heights from its eyes to its chin."""


def a_face(
    x: float = 100.0, y: float = 100.0, size: float = 60.0, roll: float = 0.0, score: float = 0.9
) -> SegmentedFace:
    """Make a face. `x`, `y`: between the eyes; `size`: from there to the chin; `roll`: degrees clockwise."""
    turn = np.radians(roll)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * size

    def placed(points: np.ndarray) -> np.ndarray:
        return points @ axes.T + np.array([x, y])

    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    outline = placed(np.stack([0.6 * np.sin(angles), 0.2 - 0.8 * np.cos(angles)], axis=1))
    (x1, y1), (x2, y2) = outline.min(axis=0), outline.max(axis=0)
    points = {name: placed(np.array(point)) for name, point in LANDMARKS.items()}
    return SegmentedFace(
        bbox=(float(x1), float(y1), float(x2), float(y2)),
        score=score,
        landmarks={name: (float(right), float(down)) for name, (right, down) in points.items()},
        outline=outline.astype(np.float32),
        roll=roll,
        yaw=0.0,
        pitch=0.0,
    )
