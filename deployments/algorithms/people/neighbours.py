"""Nearest neighbours by inner product: all pairs when points are few, a forest of projection trees when many.

The forest: every tree halves the points along random directions that favour the principal axes until a leaf holds at
most `leaf_points`, and compares all points within a leaf by one matrix product. The work is `trees * leaf_points`
products a point however many points there are, and neighbours that one tree parts another keeps together. On 100,000
face vectors it finds as much as faiss' inverted file in about half of its processor time (docs/people.md), whose work
a point grows with the number of points. (Random projection trees: Dasgupta and Freund 2008.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Ids = NDArray[np.int64]
Packed = NDArray[np.uint64]
"""Candidates: the similarity's bits above, the id's complement below; 0: none."""

HALF = np.uint64(32)
LAST_ID = np.uint64(2**32 - 1)

BLOCK_PRODUCTS = 4_000_000
"""Inner products held at once (16 MB)."""
SAMPLE_POINTS = 2048
"""Points from which the principal axes are taken."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Search effort: more trees and larger leaves find more and cost proportionally more."""

    trees: int = 8
    leaf_points: int = 512
    listed: int = 32
    """Neighbours that linkage lists of a cluster at a time; 16 doubled the searches, 48 gave nothing."""

    @property
    def exhaustive_points(self) -> int:
        """Number of points up to which comparing all pairs is no dearer than the trees."""
        return self.trees * self.leaf_points


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Up to K nearest points of each of R queries, most similar first, ties to the lower id.

    `ids` `int64[R, K]`, -1 where there are fewer; `similarity` `float32[R, K]`, inner products, -inf there.
    """

    ids: Ids
    similarity: Points


def nearest(points: Points, queries: Ids, count: int, floor: float, forest: Forest, seed: int = 0) -> Neighbours:
    """Find the `count` points other than itself most similar to each of `points[queries]`, at least `floor`.

    `points` `float32[N, D]`, of any length; `floor` must be positive. Exact if N or the number of queries is at most
    `forest.exhaustive_points`, else some are missed. The same input and `seed` give the same output.
    """
    found = np.zeros((len(queries), count), np.uint64)
    if min(len(points), len(queries) * 4) <= forest.exhaustive_points:
        everything = np.arange(len(points))
        for start in range(0, len(queries), rows_at_once := max(1, BLOCK_PRODUCTS // max(1, len(points)))):
            asking = queries[start : start + rows_at_once]
            found[start : start + rows_at_once] = _strongest(points, points[asking], asking, everything, count, floor)
        return _unpack(found)
    row_of = np.full(len(points), -1)
    row_of[queries] = np.arange(len(queries))
    rng = np.random.default_rng(seed)
    axes = _principal_axes(points)
    for _ in range(forest.trees):
        for leaf in _leaves(points, axes, forest.leaf_points, rng):
            rows = row_of[leaf]
            asking = np.flatnonzero(rows >= 0)
            if len(asking):
                rows, block = rows[asking], points[leaf]
                own = block if len(asking) == len(leaf) else block[asking]
                found[rows] = _merge(found[rows], _strongest(block, own, asking, leaf, count, floor))
    return _unpack(found)


def _strongest(block: Points, own: Points, asking: Ids, names: Ids, count: int, floor: float) -> Packed:
    """Find the best of `block` for each of `own`, in rising order: `uint64[len(own), count]`.

    `asking`: the row of `block` that each of `own` is; `names`: the id of each row of `block`.
    """
    products = own @ block.T
    products[np.arange(len(own)), asking] = -1
    row, column = np.divmod(np.flatnonzero(products >= floor), len(block))
    counts = np.bincount(row, minlength=len(own))
    found = np.zeros((len(own), count), np.uint64)
    crowded = np.flatnonzero(counts > count)
    if len(crowded):
        best = np.argpartition(products[crowded], -count, axis=1)[:, -count:]
        found[crowded] = _pack(names[best], np.take_along_axis(products[crowded], best, axis=1))
        few = counts[row] <= count
        row, column = row[few], column[few]
        counts[crowded] = 0
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    found[row, place] = _pack(names[column], products[row, column])
    found.sort(axis=1)
    return found


def _merge(left: Packed, right: Packed) -> Packed:
    """Merge two tables row by row into the best entries of both, every id once."""
    both = np.concatenate([left, right], axis=1)
    # The same pair's product can differ in its last bits from one leaf to another: compare ids, not entries.
    turned = (both << HALF) | (both >> HALF)
    turned.sort(axis=1)
    again = (turned[:, 1:] >> HALF) == (turned[:, :-1] >> HALF)
    turned[:, :-1][again] = 0
    both = (turned << HALF) | (turned >> HALF)
    both.sort(axis=1)
    return both[:, left.shape[1] :]


def _pack(ids: Ids, similarity: Points) -> Packed:
    """Pack each entry into one sortable number: bits of a positive float sort like the float; a lower id sorts
    higher."""
    bits = np.ascontiguousarray(similarity, np.float32).view(np.uint32).astype(np.uint64)
    return np.asarray((bits << HALF) | (LAST_ID - ids.astype(np.uint64)))


def _unpack(found: Packed) -> Neighbours:
    found = found[:, ::-1]
    empty = found == 0
    similarity = (found >> HALF).astype(np.uint32).view(np.float32)
    ids = (LAST_ID - (found & LAST_ID)).astype(np.int64)
    return Neighbours(np.where(empty, -1, ids), np.where(empty, np.float32(-np.inf), similarity))


def _principal_axes(points: Points) -> Points:
    """Estimate the principal axes, as rows scaled by their variances: `float32[D, D]`."""
    sample = points[:: max(1, len(points) // SAMPLE_POINTS)].astype(np.float64)
    variance, axes = np.linalg.eigh(np.cov(sample.T))
    return np.asarray(axes * np.maximum(variance, 0), np.float32).T


def _leaves(points: Points, axes: Points, leaf_points: int, rng: np.random.Generator) -> Iterator[Ids]:
    """Split the points by one random tree into leaves: disjoint, covering, of equal size to within one point."""
    depth = int(np.ceil(np.log2(len(points) / leaf_points)))
    directions = rng.standard_normal((depth, len(axes))).astype(np.float32) @ axes
    # Directions at right angles cut a branch in ways its parent has not.
    directions = np.linalg.qr(directions.T)[0]
    heights = directions.T @ points.T
    todo = [(np.arange(len(points)), 0)]
    while todo:
        members, level = todo.pop()
        if level == depth:
            yield members
            continue
        middle = len(members) // 2
        parted = members[np.argpartition(heights[level, members], middle)]
        todo += [(parted[:middle], level + 1), (parted[middle:], level + 1)]
