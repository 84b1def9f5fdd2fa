"""Where a small segmentation model looks in a large picture, and putting what it saw in several places together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.face_alignment import Matrix, invert, move_points
from deployments.algorithms.segmentation.frames import FaceFrame

Floats = NDArray[np.float32]

_SQUARES = ((5.5, (0.0, 0.7), 1.0), (13.0, (0.0, 4.0), 0.5))
"""Squares around a face: side and centre in its frame, and weight. Head and shoulders, and the whole body."""
_WHOLE_WEIGHT = 0.1
"""Of the look at the whole picture where a closer one sees too."""
_NO_GAIN = 1.2
"""A square this many times as large as the picture's longer side shows no more than the whole picture does."""
_FADE = 3
"""Power with which a look's weight falls to nothing towards its border: there the model sees halves of other people,
whom their own looks show whole."""


@dataclass(frozen=True, slots=True)
class Look:
    """A turned square of the picture."""

    matrix: Matrix
    """Brings the picture to the model's input."""
    weight: float


def looks_at_people(frames: Sequence[FaceFrame], height: int, width: int, size: int) -> list[Look]:
    """Squares around faces, set upright, in which people are larger or straighter than in the whole picture."""
    looks = []
    for frame in frames:
        for side, centre, weight in _SQUARES:
            if side * frame.unit < _NO_GAIN * max(height, width):
                looks.append(Look(frame.window(side, centre, size), weight))
    return looks


def quarter_turns(frames: Sequence[FaceFrame]) -> int:
    """Counter-clockwise turns that set the largest face of a picture nearest to upright."""
    if not frames:
        return 0
    largest = max(frames, key=lambda frame: frame.unit)
    return round(largest.roll / (np.pi / 2)) % 4


def combine(whole: Floats, looks: Sequence[Look], chances: Sequence[Floats]) -> Floats:
    """`float32[H, W]`: the chance of a person at each pixel, the mean over all looks that saw it.

    `whole` is `float32[H, W]`, what was seen in the whole picture; each of `chances` is `float32[S, S]`.
    """
    height, width = whole.shape
    total, weights = whole * np.float32(_WHOLE_WEIGHT), np.full(whole.shape, _WHOLE_WEIGHT, np.float32)
    for look, chance in zip(looks, chances, strict=True):
        size = len(chance)
        back = invert(look.matrix)
        corners = move_points(np.array([[0.0, 0], [size, 0], [0, size], [size, size]]), back)
        x1, y1 = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, [width, height])
        x2, y2 = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, [width, height])
        if x2 <= x1 or y2 <= y1:
            continue
        back[:, 2] -= (x1, y1)
        fade = _fade(size) * np.float32(look.weight)
        seen = cv2.warpAffine(cv2.merge([chance * fade, fade]), back, (int(x2 - x1), int(y2 - y1)))
        total[y1:y2, x1:x2] += seen[..., 0]
        weights[y1:y2, x1:x2] += seen[..., 1]
    return np.asarray(total / weights, np.float32)


def _fade(size: int) -> Floats:
    """1 in the middle of a square, 0 at its border."""
    inside = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / (size / 2)
    ramp = (1 - (1 - inside) ** _FADE).astype(np.float32) ** _FADE
    return np.asarray(ramp[:, None] * ramp, np.float32)


def unturned(plane: Floats, turns: int) -> Floats:
    """What was seen after so many counter-clockwise quarter turns, turned back."""
    return np.ascontiguousarray(np.rot90(plane, -turns))
