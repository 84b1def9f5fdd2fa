"""Multi-crop inference for person segmentation, and its weighted merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deployments.algorithms.faces.frame import FaceFrame
from deployments.algorithms.images.affine import invert, move_points
from deployments.algorithms.segmentation.guided_filter import follow_edges, steeper
from deployments.algorithms.segmentation.polygons import bounds
from deployments.contracts.arrays import Floats, Image, Matrix

_SQUARES = ((5.5, (0.0, 0.7), 1.0), (13.0, (0.0, 4.0), 0.5))
"""Squares around a face: side and centre in its frame, and weight. Head and shoulders, and the whole body."""
_WHOLE_WEIGHT = 0.1
"""Weight of the crop of the whole image where a closer one sees too."""
_NO_GAIN = 1.2
"""Size of a square, in the image's longer sides, from which it shows no more than the whole image does."""
_EDGE = 3.0
"""Pixels of the model's input by which its borders may be wrong."""
_UNSURE = 0.2, 0.8
"""Range of undecided chances; those beyond are taken for certain."""
_FADE = 3
"""Power with which a crop's weight falls to nothing towards its border: there the model sees halves of other people,
whom their own crops show whole."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A turned square of the image."""

    matrix: Matrix
    """Maps the image to the model's input."""
    weight: float


def person_crops(frames: Sequence[FaceFrame], height: int, width: int, size: int) -> list[Crop]:
    """Place upright squares around faces, in which people are larger or straighter than in the whole image."""
    crops = []
    for frame in frames:
        for side, centre, weight in _SQUARES:
            if side * frame.unit < _NO_GAIN * max(height, width):
                crops.append(Crop(frame.window(side, centre, size), weight))
    return crops


def quarter_turns(frames: Sequence[FaceFrame]) -> int:
    """Count the counter-clockwise turns that set the largest face of an image nearest to upright."""
    if not frames:
        return 0
    largest = max(frames, key=lambda frame: frame.unit)
    return round(largest.roll / (np.pi / 2)) % 4


def merge_crops(image: Image, whole: Floats, crops: Sequence[Crop], chances: Sequence[Floats]) -> Floats:
    """Merge crops into the chance of a person at each pixel, `float32[H, W]`: the weighted mean of all that saw it.

    `whole` and each of `chances` are `float32[S, S]`: what was seen in the image, squeezed to the square, and by each
    of the crops. Borders are moved onto the image's edges as far as each was able to see.
    """
    height, width = image.shape[:2]
    seen = cv2.resize(steeper(whole, *_UNSURE), (width, height), interpolation=cv2.INTER_LINEAR)
    total = follow_edges(image, seen, _EDGE * max(height, width) / len(whole)) * np.float32(_WHOLE_WEIGHT)
    weights = np.full_like(total, _WHOLE_WEIGHT)
    for crop, chance in zip(crops, chances, strict=True):
        size = len(chance)
        back = invert(crop.matrix)
        corners = move_points(np.array([[0.0, 0], [size, 0], [0, size], [size, size]]), back)
        low, high = bounds(corners, 0, (height, width))
        if (high <= low).any():
            continue
        part = np.s_[low[1] : high[1], low[0] : high[0]]
        back[:, 2] -= low
        shape = int(high[0] - low[0]), int(high[1] - low[1])
        seen = cv2.warpAffine(steeper(chance, *_UNSURE), back, shape, borderMode=cv2.BORDER_REPLICATE)
        fade = cv2.warpAffine(_fade(size), back, shape) * np.float32(crop.weight)
        reach = _EDGE * float(np.hypot(back[0, 0], back[0, 1]))
        total[part] += follow_edges(np.ascontiguousarray(image[part]), seen, reach) * fade
        weights[part] += fade
    return steeper(np.divide(total, weights, out=total), 0.1, 0.9)


def _fade(size: int) -> Floats:
    """Compute weights of a square's pixels: 1 in the middle, 0 at its border."""
    inside = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / (size / 2)
    ramp = (1 - (1 - inside) ** _FADE).astype(np.float32) ** _FADE
    return np.asarray(ramp[:, None] * ramp, np.float32)


def rotate_back(plane: Floats, turns: int) -> Floats:
    """Undo counter-clockwise quarter turns of a plane."""
    return np.ascontiguousarray(np.rot90(plane, -turns))
