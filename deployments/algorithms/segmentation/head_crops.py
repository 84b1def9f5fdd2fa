"""Head crops: the part of a photograph that an image model sees of one head, and its way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.algorithms.images.resizing import resize, working_size
from deployments.algorithms.segmentation.head_masks import blend
from deployments.contracts.arrays import Gray, Image

_MARGIN = 1.3
"""Side of the crop, in those of the head's own square: the model fits the animal to what is around it."""


@dataclass(frozen=True, slots=True)
class HeadCrop:
    """One head, cut out at the model's size."""

    rows: slice
    columns: slice
    """Rows and columns of the crop in the photograph."""
    image: Image
    mask: Gray
    """At the model's size, as the image is."""


def cut_head(photograph: Image, mask: Gray, pixels: int) -> HeadCrop | None:
    """Cut out a square around what the mask shows, of about `pixels` pixels, sides multiples of 8; None: the mask is
    black.

    The square is pushed into the photograph (and cut by it where that is narrower).
    """
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(ys):
        return None
    side = round(_MARGIN * max(ys[-1] - ys[0] + 1, xs[-1] - xs[0] + 1))
    rows = _span(int(ys[0] + ys[-1] + 1) // 2, side, mask.shape[0])
    columns = _span(int(xs[0] + xs[-1] + 1) // 2, side, mask.shape[1])
    size = working_size(columns.stop - columns.start, rows.stop - rows.start, pixels)
    return HeadCrop(rows, columns, resize(photograph[rows, columns], size), resize(mask[rows, columns], size))


def put_head_back(photograph: Image, mask: Gray, crop: HeadCrop, made: Image) -> Image:
    """Blend the edited crop into the photograph; untouched where the mask, of the photograph's size, is black."""
    place = (crop.rows, crop.columns)
    out = photograph.copy()
    out[place] = blend(photograph[place], made, mask[place])
    return out


def _span(middle: int, side: int, length: int) -> slice:
    start = max(0, min(middle - side // 2, length - side))
    return slice(start, min(start + side, length))
