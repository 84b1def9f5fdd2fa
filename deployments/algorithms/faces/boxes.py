"""Face boxes: overlap, non-maximum suppression, and the windows in which an image is searched.

Boxes are rows of `float32[N, 4]`, `(x1, y1, x2, y2)` in pixels; they may reach over the border of their image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Floats


class SearchWindow(NamedTuple):
    """A square part of an image; it may reach over the border."""

    x: int
    y: int
    side: int


def box_areas(boxes: Floats) -> Floats:
    """Compute areas `float32[N]`, square pixels; 0 for a box whose corners are swapped."""
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1), np.float32)


def overlaps(box: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Measure one box against `float32[N, 4]` others: intersection over union, and intersection over the smaller of the
    two."""
    top_left, bottom_right = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = box_areas(np.concatenate([top_left, bottom_right], axis=1))
    area, areas = box_areas(box[None])[0], box_areas(others)
    tiny = np.finfo(np.float32).tiny
    return common / np.maximum(area + areas - common, tiny), common / np.maximum(np.minimum(area, areas), tiny)


def suppress_overlaps(boxes: Floats, scores: Floats, max_iou: float, max_contained: float = 1.0) -> NDArray[np.intp]:
    """Select the boxes that no better-scored kept box overlaps: their indices, best first.

    A box goes when its intersection over union with a kept one is above `max_iou`, or when more than the share
    `max_contained` of the smaller of the two lies in the other, as a box from nose to chin does in that of its face.
    """
    # Equal scores fall back on the coordinates: the order of the input decides nothing.
    order = np.lexsort((*boxes.T[::-1], -scores))
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        iou, contained = overlaps(boxes[best], boxes[order])
        order = order[(iou <= max_iou) & (contained <= max_contained)]
    return np.array(kept, np.intp)


def square_windows(height: int, width: int, grid: int, overlap: float = 0.25) -> list[SearchWindow]:
    """Cover an image by square windows, `grid` of them along its longer side.

    Each is wider than its share of that side by `overlap`, and neighbours have at least `overlap` of a window in
    common: a face up to that size is whole in one of them. All windows lie inside the image where it is large enough.
    """
    longer = max(height, width)
    side = max(1, min(longer, round(longer / grid * (1 + overlap))))
    step = side * (1 - overlap)

    def starts(length: int) -> NDArray[np.int64]:
        count = int(np.ceil((length - side) / step)) + 1 if length > side else 1
        return np.linspace(0, max(0, length - side), count).astype(np.int64)

    return [SearchWindow(int(x), int(y), side) for y in starts(height) for x in starts(width)]


def is_cut(boxes: Floats, window: SearchWindow, height: int, width: int, margin: float = 0.01) -> NDArray[np.bool_]:
    """Tell which boxes, in pixels of the image, end at a border of the window that is not a border of the image.

    `margin` is a share of the window's side. Such a box shows part of a face that another window holds whole.
    """
    edge = margin * window.side
    right, bottom = window.x + window.side, window.y + window.side
    return (
        ((boxes[:, 0] < window.x + edge) & (window.x > 0))
        | ((boxes[:, 1] < window.y + edge) & (window.y > 0))
        | ((boxes[:, 2] > right - edge) & (right < width))
        | ((boxes[:, 3] > bottom - edge) & (bottom < height))
    )
