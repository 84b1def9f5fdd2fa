"""Detection of the image inside a flat surround: a caption border, a screenshot's letterbox, a scanner's lid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Image

ContentBox = tuple[int, int, int, int]
"""Left, top (inclusive), right, bottom (exclusive), pixels."""

_SEARCH_PX = 256
"""Longest side at which the border is looked for."""
_FLAT_LEVELS = 10
"""Grey levels that a channel of a flat surround may be off its median: room for JPEG ringing."""
_FLAT_SHARE = 0.9
"""Share of the outermost ring that must be flat before anything is trimmed."""
_MIN_AREA, _MAX_AREA = 0.03, 0.985
"""Share of the image that the content may take: less is a mark on a page, more is nothing to trim."""
_MIN_PART = 0.8
"""Share of everything that is not surround that the content holds. A form's heading is no framed image."""
_MIN_FILL = 0.9
"""Share of its bounding box that the content fills. A product on white paper is no framed image."""


def content_box(image: Image) -> ContentBox | None:
    """Find the one rectangular image inside a flat surround, in pixels of `image`; None where there is none."""
    height, width = image.shape[:2]
    small = shrink(image, _SEARCH_PX)
    surround = _flat_surround(small)
    if surround is None:
        return None
    found = _largest_component(np.abs(small.astype(np.int16) - surround).max(axis=2) > _FLAT_LEVELS)
    if found is None:
        return None
    (left, top, right, bottom), fill = found
    share = (right - left) * (bottom - top) / (small.shape[0] * small.shape[1])
    if fill < _MIN_FILL or not _MIN_AREA <= share <= _MAX_AREA:
        return None
    x_scale, y_scale = width / small.shape[1], height / small.shape[0]
    return (round(left * x_scale), round(top * y_scale), round(right * x_scale), round(bottom * y_scale))


def _flat_surround(small: Image) -> NDArray[np.int16] | None:
    """Find the median colour of the outermost ring; None unless nearly all of the ring has it."""
    ring = max(1, round(0.008 * max(small.shape[:2])))
    sides = (small[:ring], small[-ring:], small[:, :ring], small[:, -ring:])
    edge = np.concatenate([side.reshape(-1, 3) for side in sides]).astype(np.int16)
    colour = np.median(edge, axis=0).astype(np.int16)
    is_flat = np.abs(edge - colour).max(axis=1) <= _FLAT_LEVELS
    return colour if is_flat.mean() >= _FLAT_SHARE else None


def _largest_component(mask: NDArray[np.bool_]) -> tuple[ContentBox, float] | None:
    """Find the bounding box of the one large connected part of `mask`, and the share of it inside the part's
    outline."""
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    if areas.max() < _MIN_PART * areas.sum():
        return None
    largest = 1 + int(np.argmax(areas))
    x, y, w, h = (int(v) for v in stats[largest, :4])
    part = (labels[y : y + h, x : x + w] == largest).astype(np.uint8)
    outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # The outline runs through pixel centres, hence the missing pixel a side.
    inside = max(cv2.contourArea(outline) for outline in outlines) / max(1, (w - 1) * (h - 1))
    return (x, y, x + w, y + h), min(1.0, inside)
