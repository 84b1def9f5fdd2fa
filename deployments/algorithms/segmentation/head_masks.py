"""Head masks: where an image model may paint to make animals of people, and blending its result into the photograph."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.algorithms.faces.frame import frame_of
from deployments.algorithms.segmentation.polygons import bounds, fill, scaled
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.portraits import AvatarMode, Segmentation, SegmentedFace

_SOFT = 0.08
"""Standard deviation of the mask's edge, in heights from the eyes to the chin."""
_GROWN = 1.12
"""Factor by which the outline is enlarged: fur stands out from skin."""
_EARS = np.array([(-1.05, 0.1), (-1.2, -1.0), (-0.95, -1.75), (0.95, -1.75), (1.2, -1.0), (1.05, 0.1)], np.float32)
"""Room for an animal's ears, in the face's frame: from the height of the eyes to above the hair."""
_HEAD = np.array([(-1.7, 1.0), (-1.9, -0.6), (-1.1, -1.9), (1.1, -1.9), (1.9, -0.6), (1.7, 1.0)], np.float32)
"""Reach of a head with hair, in the face's frame: as low as the chin, as high and wide as hair stands."""
_BAND = 256
"""Rows that are blended at once."""


def head_mask(segmentation: Segmentation, mode: AvatarMode) -> Gray:
    """Draw all faces' heads, `uint8[H, W]`, soft: 255 paint here, 0 keep; black where there is no face.

    overlay: faces with forehead and room for ears above. character: whole heads with hair besides.
    """
    height, width = segmentation.person_mask.shape
    mask = np.zeros((height, width), np.uint8)
    for face in segmentation.faces:
        _add_head(mask, segmentation.person_mask, face, mode)
    return mask


def blend(photograph: Image, made: Image, mask: Gray) -> Image:
    """Blend `made` into the photograph: `made` where the mask is white, the photograph, untouched, where it is black.

    A `made` of another size is stretched to the photograph's. Raises `ValueError` for a mask of another size.
    """
    height, width = photograph.shape[:2]
    if mask.shape != (height, width):
        raise ValueError(f"the mask is {mask.shape}, the photograph {(height, width)}")
    if made.shape[:2] != (height, width):
        shrinks = made.shape[0] > height
        made = cv2.resize(made, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    blended = photograph.copy()
    for top in range(0, height, _BAND):
        rows = slice(top, top + _BAND)
        share = mask[rows, :, None].astype(np.float32) / 255
        if share.any():
            mixed = photograph[rows] + (made[rows].astype(np.float32) - photograph[rows]) * share
            blended[rows] = np.rint(mixed)
    return blended


def _add_head(mask: Gray, person: Gray, face: SegmentedFace, mode: AvatarMode) -> None:
    """Draw one head into `mask`; only its own part of the image is touched."""
    frame = frame_of(face)
    shapes = [frame.pixels(scaled(frame.units(face.outline), _GROWN)), frame.pixels(_EARS)]
    reach = frame.pixels(_HEAD)
    margin = 4 * _SOFT * frame.unit + 2
    low, high = bounds(np.concatenate([*shapes, reach]), margin, mask.shape)
    if (high <= low).any():
        return
    part = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    for shape in shapes:
        fill(part, cv2.convexHull(shape)[:, 0] - low)
    if mode == "character":
        head = np.zeros_like(part)
        fill(head, reach - low)
        part = np.maximum(part, np.minimum(head, person[low[1] : high[1], low[0] : high[0]]))
    soft = cv2.GaussianBlur(part, (0, 0), max(_SOFT * frame.unit, 0.5))
    place = mask[low[1] : high[1], low[0] : high[0]]
    np.maximum(place, soft, out=place)
