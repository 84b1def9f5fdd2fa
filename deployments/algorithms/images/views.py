"""Square views of an image that are embedded; `contracts.arrays.VIEWS` says what each shows."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.images.borders import content_box
from deployments.contracts.arrays import VIEWS, Image

_CENTRE = 0.7
"""Share of either side that the centre view shows."""
_CROP = 224 / 256
"""Share of the shorter side: the usual evaluation crop of ImageNet classifiers (resize to 256, cut 224)."""


def make_views(image: Image, size: int) -> NDArray[np.uint8]:
    """Cut the views of an image: `uint8[7, size, size, 3]` in the order of `contracts.arrays.VIEWS`."""
    height, width = image.shape[:2]
    whole = _square(image, size)
    box = content_box(image)
    crop_px = _CROP * min(height, width)
    views = {
        "whole": whole,
        "centre": _square(_middle(image, _CENTRE * height, _CENTRE * width), size),
        "trimmed": whole if box is None else _square(image[box[1] : box[3], box[0] : box[2]], size),
        "quarter": np.rot90(whole, 1),
        "half": np.rot90(whole, 2),
        "three_quarters": np.rot90(whole, 3),
        "crop": _square(_middle(image, crop_px, crop_px), size),
    }
    return np.stack([views[name] for name in VIEWS])


def distinct_views(views: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find views of `[N, S, S, 3]` that repeat no earlier one, as the trimmed one of most images repeats the whole.

    -> the indices of those `intp[M]`, and which of them each view equals, `intp[N]`.
    """
    kept: list[int] = []
    place_of: dict[int, int] = {}
    places = np.empty(len(views), np.intp)
    for number, view in enumerate(views):
        checksum = zlib.crc32(np.ascontiguousarray(view).data)
        place = place_of.setdefault(checksum, len(kept))
        if place == len(kept) or not np.array_equal(views[kept[place]], view):
            place = len(kept)
            kept.append(number)
        places[number] = place
    return np.array(kept, np.intp), places


def _middle(image: Image, height: float, width: float) -> Image:
    """Cut the centred part of about that size, at least a pixel."""
    part_h, part_w = max(1, round(height)), max(1, round(width))
    top, left = (image.shape[0] - part_h) // 2, (image.shape[1] - part_w) // 2
    return image[top : top + part_h, left : left + part_w]


def _square(image: Image, size: int) -> Image:
    """Stretch to `size` x `size`: averaged where it shrinks, interpolated where it grows."""
    shrinks = image.shape[0] >= size and image.shape[1] >= size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized: Image = cv2.resize(image, (size, size), interpolation=method)
    return resized
