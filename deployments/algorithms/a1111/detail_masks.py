"""Masks of what ADetailer redraws: boxes and meshes of faces, chosen, moved and grown as its arguments say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.faces.mesh_landmarks import MESH_OUTLINE
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Gray

Shape = Literal["box", "mesh", "eyes"]
_MESH_POINTS = 468
_EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
"""Points of MediaPipe's face mesh around each eye."""


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """How masks are chosen and changed, by ADetailer's arguments of these names."""

    confidence: float = 0.3
    min_ratio: float = 0.0
    """Share of the image's area; `max_ratio` likewise."""
    max_ratio: float = 1.0
    largest: int = 0
    """Number of the largest that are taken; 0: all."""
    by_confidence: bool = False
    """Whether the most confident are taken instead of the largest."""
    dilate_erode: int = 4
    """Pixels by which a mask grows, or shrinks where negative."""
    x_offset: int = 0
    y_offset: int = 0
    """Pixels to the right and upwards."""
    merge: Literal["None", "Merge", "Merge and Invert"] = "None"


def draw_masks(
    size: tuple[int, int], faces: Sequence[Face], shape: Shape, options: MaskOptions, most: int
) -> list[Gray]:
    """Draw a mask `uint8[H, W]` (255: redraw) for each face of an image of `size` (width, height), left to right.

    At most `most`; with `merge` one for all. A face without a mesh has its box.
    """
    area = size[0] * size[1]
    found = [face for face in faces if face.score >= options.confidence]
    found = [face for face in found if options.min_ratio <= _area(face) / area <= options.max_ratio]
    found.sort(key=(lambda face: -face.score) if options.by_confidence else (lambda face: -_area(face)))
    found = found[: options.largest or most][:most]
    found.sort(key=lambda face: face.bbox[0])
    masks = [mask for mask in (_changed(_draw(size, face, shape), options) for face in found) if mask.any()]
    if options.merge == "None" or not masks:
        return masks
    merged = np.maximum.reduce(masks)
    return [merged if options.merge == "Merge" else np.asarray(255 - merged, np.uint8)]


def _area(face: Face) -> float:
    left, top, right, bottom = face.bbox
    return max(0.0, right - left) * max(0.0, bottom - top)


def _draw(size: tuple[int, int], face: Face, shape: Shape) -> Gray:
    mask = np.zeros((size[1], size[0]), np.uint8)
    if shape == "box" or len(face.landmarks) != _MESH_POINTS:
        left, top, right, bottom = (round(edge) for edge in face.bbox)
        mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 255
        return mask
    for ring in (MESH_OUTLINE,) if shape == "mesh" else _EYES:
        points: NDArray[np.int32] = np.rint(face.landmarks[list(ring), :2]).astype(np.int32)
        cv2.fillPoly(mask, [points], 255)
    return mask


def _changed(mask: Gray, options: MaskOptions) -> Gray:
    if amount := abs(options.dilate_erode):
        kernel = np.ones((amount, amount), np.uint8)
        mask = np.asarray((cv2.dilate if options.dilate_erode > 0 else cv2.erode)(mask, kernel), np.uint8)
    if options.x_offset or options.y_offset:
        move = np.asarray([[1, 0, options.x_offset], [0, 1, -options.y_offset]], np.float32)
        mask = np.asarray(cv2.warpAffine(mask, move, (mask.shape[1], mask.shape[0])), np.uint8)
    return mask
