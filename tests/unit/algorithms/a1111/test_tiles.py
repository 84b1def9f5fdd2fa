"""Tiling of images, and joining the tiles again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.tiles import count_tiles, join_tiles, tile_boxes
from tests.support.builders import a_flat_image, an_image

SIZES = st.tuples(st.integers(1, 200), st.integers(1, 200))
TILES = st.tuples(st.integers(16, 96), st.integers(16, 96))


@given(SIZES, TILES, st.integers(0, 15))
def test_tiles_cover_the_image_and_give_it_back(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> None:
    picture = an_image(size)
    boxes = tile_boxes(size, tile, overlap)
    assert len(boxes) == count_tiles(size, tile, overlap)
    assert all(box.size == (min(size[0], tile[0]), min(size[1], tile[1])) for box in boxes)
    assert np.array_equal(join_tiles(picture, boxes, [box.cut(picture) for box in boxes]), picture)


@given(st.integers(100, 400), st.integers(32, 96), st.integers(0, 31))
def test_neighbouring_tiles_share_the_overlap_asked_for(length: int, tile: int, overlap: int) -> None:
    boxes = tile_boxes((length, tile), (tile, tile), overlap)
    for one, other in pairwise(boxes):
        assert one.right - other.left >= overlap - 1  # starts are rounded


def test_a_missing_tile_leaves_the_image_as_it_is_there() -> None:
    picture = a_flat_image((64, 32), (0, 0, 0))
    boxes = tile_boxes((64, 32), (32, 32), 0)
    joined = join_tiles(picture, boxes, [a_flat_image((32, 32), (200, 200, 200)), None])
    assert np.all(joined[:, :32] == 200)
    assert np.all(joined[:, 32:] == 0)


def test_overlaps_of_tiles_fade() -> None:
    picture = a_flat_image((48, 32), (0, 0, 0))
    boxes = tile_boxes((48, 32), (32, 32), 16)
    joined = join_tiles(picture, boxes, [a_flat_image((32, 32), (0, 0, 0)), a_flat_image((32, 32), (255, 255, 255))])
    row = joined[16, :, 0].astype(int)
    assert np.all(np.diff(row) >= 0)
    assert row[15] == 0
    assert row[32] == 255
