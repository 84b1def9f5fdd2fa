"""Tiling of a large image with overlap, and joining such tiles again without visible seams."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deployments.algorithms.a1111.inpainting import PixelBox
from deployments.algorithms.a1111.resizing import resize
from deployments.contracts.arrays import Image, Vectors


def tile_boxes(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> list[PixelBox]:
    """Lay out tiles row by row, evenly spread, as large as `tile` where the image is, neighbours sharing `overlap` or
    more."""
    across = _starts(size[0], tile[0], overlap)
    down = _starts(size[1], tile[1], overlap)
    return [
        PixelBox(left, top, min(size[0], left + tile[0]), min(size[1], top + tile[1]))
        for top in down
        for left in across
    ]


def count_tiles(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> int:
    """Count the tiles that `tile_boxes` lays out."""
    return len(_starts(size[0], tile[0], overlap)) * len(_starts(size[1], tile[1], overlap))


def join_tiles(base: Image, boxes: Sequence[PixelBox], tiles: Sequence[Image | None]) -> Image:
    """Lay the tiles in their boxes over `base`, faded into one another where they overlap; None: `base` as it is
    there."""
    total = np.zeros(base.shape, np.float32)
    weight = np.zeros(base.shape[:2], np.float32)
    for box, tile in zip(boxes, tiles, strict=True):
        pixels = box.cut(base) if tile is None else resize(tile, box.size)
        share = np.outer(_ramp(box.size[1]), _ramp(box.size[0]))
        region = np.s_[box.top : box.bottom, box.left : box.right]
        total[region] += pixels * share[..., None]
        weight[region] += share
    return np.asarray(np.clip(np.rint(total / weight[..., None]), 0, 255), np.uint8)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    step = max(1, tile - overlap)
    count = math.ceil((length - overlap) / step)
    return [round(place * (length - tile) / (count - 1)) for place in range(count)]


def _ramp(length: int) -> Vectors:
    """Weigh a tile's rows: most in the middle, little and never nothing at the rims."""
    places = np.arange(length, dtype=np.float32)
    return np.asarray(np.minimum(places, places[::-1]) + 1, np.float32)
