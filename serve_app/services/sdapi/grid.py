"""Sheets of several images, as the original lays them out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deployments.contracts.arrays import Image


def grid(images: Sequence[Image]) -> Image:
    """Lay out images in rows and columns, as square as it gets."""
    rows = round(math.sqrt(len(images)))
    columns = math.ceil(len(images) / rows)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
