"""Faces of one network matched to those of another in the same places, so that persons outlive a change of network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.faces.boxes import overlaps
from deployments.algorithms.people.label_matching import Labels
from deployments.contracts.albums import UNKNOWN
from deployments.contracts.arrays import Floats

SAME_PLACE_IOU = 0.5
"""Overlap of two boxes from which on they are one face: engines draw boxes differently, faces hardly overlap."""


def match_places(
    old_pictures: NDArray[np.int64],
    old_boxes: Floats,
    old_labels: Labels,
    pictures: NDArray[np.int64],
    boxes: Floats,
) -> Labels:
    """Give each face `(pictures, boxes)` the label of the old face in its place, `int64[N]`; `UNKNOWN` without one.

    Boxes are `(x1, y1, x2, y2)` in pixels, `float32[N, 4]`. In each image the best overlaps are served first, and no
    old face serves twice.
    """
    labels = np.full(len(pictures), UNKNOWN)
    for picture in np.intersect1d(old_pictures, pictures):
        old, new = np.flatnonzero(old_pictures == picture), np.flatnonzero(pictures == picture)
        overlap = np.stack([overlaps(box, boxes[new])[0] for box in old_boxes[old]])
        while (best := float(overlap.max(initial=0.0))) >= SAME_PLACE_IOU:
            row, column = np.argwhere(overlap == best)[0]
            labels[new[column]] = old_labels[old[row]]
            overlap[row], overlap[:, column] = 0.0, 0.0
    return labels
