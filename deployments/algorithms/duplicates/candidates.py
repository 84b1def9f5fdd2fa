"""Candidate pairs: images whose embeddings are near enough that one may be a copy of the other.

A copy may be cropped, framed or turned, so an image is looked for with several views of itself among several views of
the others: whole, centre, trimmed and crop are stored, these and quarter turns of the whole are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.duplicates.index import NeighbourIndex
from deployments.algorithms.duplicates.view_vectors import (
    Ids,
    RawVectors,
    all_cosines,
    asking_rows,
    best_cosines,
    check_shape,
    stored_rows,
    whole_rows,
)
from deployments.contracts.albums import Pairs
from deployments.contracts.arrays import Vectors

S = TypeVar("S")
T = TypeVar("T")
_EXACT_BELOW = 700
"""Number of images up to which every pair is compared: from here on an index is quicker (docs/scale.md)."""
SPARE = 1.5
"""Neighbours fetched from the index for each one that is kept: the index ranks them by rounded vectors."""
SLACK = 0.1
"""Cosine by which the index may underrate a pair."""
ALWAYS = 2
"""Nearest others that are looked at however little alike: a thumbnail's views resemble blur more than their original,
which is still the nearest."""
MIN_ALWAYS = 0.3
"""Cosine that these need all the same."""
_BLOCK = 512
_ROWS = 4
"""Rows of an image in an index at most: one fewer where nothing was trimmed."""
_SAMPLE = 20_000
"""Images that an index is trained on where all are in memory."""
_HALF = 32
"""Bits of an image's number."""


def find_candidates(
    vectors: RawVectors,
    min_cosine: float,
    max_neighbours: int,
    *,
    always: int = 0,
    threads: int = 1,
    exact_below: int = _EXACT_BELOW,
) -> Pairs:
    """Find each image's `max_neighbours` nearest others whose best view cosine is at least `min_cosine`.

    The `always` nearest of these need a cosine of .3 only.

    `vectors` are raw, `[N, V, D]` with V = 7 in the order of `VIEWS`, or V = 1 for whole views only. `float16` and
    memory-mapped arrays are read in blocks. Up to `exact_below` images the result is exact and does not depend on
    their order; above, it comes from an index over a projection, which hardly ever misses a pair (see
    docs/duplicates.md) and whose cost grows little more than the number of images. The cosines are always exact.
    Raises `ValueError` for another shape.
    """
    check_shape(vectors)
    if len(vectors) < 2 or max_neighbours < 1:
        return as_pairs(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
    if len(vectors) <= exact_below:
        found = _all_pairs(vectors, min_cosine, always)
    else:
        found = _indexed_pairs(vectors, min_cosine - SLACK, round(SPARE * max_neighbours), always, threads)
    parts = np.array_split(found, threads)
    cosine = np.concatenate(_side_by_side(partial(best_cosines, vectors), parts, threads))
    return select_pairs(found, cosine, len(vectors), min_cosine, max_neighbours, always)


def select_pairs(pairs: Ids, cosine: Vectors, count: int, min_cosine: float, max_neighbours: int, always: int) -> Pairs:
    """Keep of pairs `int64[P, 2]` of `count` images those that are candidates, given their exact cosines.

    What was left out is not missed when pairs are added to those that were kept, and selected once more.
    """
    near = (cosine >= min_cosine) | ((cosine >= MIN_ALWAYS) & _among_nearest(pairs, cosine, count, always))
    pairs, cosine = pairs[near], cosine[near]
    kept = _among_nearest(pairs, cosine, count, max_neighbours)
    return as_pairs(pairs[kept], cosine[kept])


def as_pairs(pairs: Ids, cosine: Vectors) -> Pairs:
    """Sort pairs `int64[P, 2]`, the smaller image first, with their cosines."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Pairs(left=pairs[order, 0], right=pairs[order, 1], cosine=cosine[order].astype(np.float32))


def new_index(sample: RawVectors, count: int) -> NeighbourIndex:
    """Make an empty index for about `count` images like those of the sample."""
    check_shape(sample)
    blocks = (
        stored_rows(sample[start : start + _BLOCK], np.arange(start, min(start + _BLOCK, len(sample))))[0]
        for start in range(0, len(sample), _BLOCK)
    )
    return NeighbourIndex.train(whole_rows(sample), count * min(sample.shape[1], _ROWS), blocks)


def extend_index(index: NeighbourIndex, vectors: RawVectors, owners: Ids) -> None:
    """Add images to an index under the numbers `owners`."""
    for start in range(0, len(vectors), _BLOCK):
        index.add(*stored_rows(vectors[start : start + _BLOCK], owners[start : start + _BLOCK]))


def ask_index(
    index: NeighbourIndex,
    vectors: RawVectors,
    owners: Ids,
    neighbours: int,
    min_cosine: float,
    always: int,
    threads: int = 1,
) -> Ids:
    """Ask an index for the images near each one. -> pairs of numbers `int64[P, 2]`, each once, the smaller first

    Each view is answered with the rows of `neighbours` images at least, those of a rough cosine under `min_cosine` left
    out unless they are among the `always` nearest. Of the images so found as many are kept, the nearest.
    """

    rows_each = min(vectors.shape[1], _ROWS)

    def ask(start: int) -> Ids:
        part = slice(start, start + _BLOCK)
        rows, of = asking_rows(vectors[part], owners[part])
        asking, answering, cosine = index.search(rows, of, neighbours * rows_each, min_cosine, always * rows_each)
        # The best view first, so that each image counts once for each that asks.
        order = np.lexsort((-cosine, answering, asking))
        asking, answering, cosine = asking[order], answering[order], cosine[order]
        first = np.ones(len(order), bool)
        first[1:] = (asking[1:] != asking[:-1]) | (answering[1:] != answering[:-1])
        asking, answering, cosine = asking[first], answering[first], cosine[first]
        order = np.lexsort((-cosine, asking))
        rank = np.arange(len(order)) - np.searchsorted(asking[order], asking[order])
        kept = order[rank < neighbours]
        return np.stack([asking[kept], answering[kept]], axis=1)

    found = _side_by_side(ask, range(0, len(vectors), _BLOCK), threads)
    pairs = np.sort(np.concatenate([np.zeros((0, 2), np.int64), *found]), axis=1)
    return np.stack(np.divmod(np.unique((pairs[:, 0] << _HALF) + pairs[:, 1]), 1 << _HALF), axis=1)


def _all_pairs(vectors: RawVectors, min_cosine: float, always: int) -> Ids:
    best = all_cosines(vectors)
    # A little room for rounding: the final cosines are taken again, pair by pair.
    near = best >= min_cosine - 1e-3
    if always:
        nearest = np.argpartition(-best, min(always, len(best) - 1), axis=1)[:, : always + 1]
        near[np.arange(len(best))[:, None], nearest] = True
    np.fill_diagonal(near, False)
    return np.argwhere(np.triu(near | near.T, 1))


def _indexed_pairs(vectors: RawVectors, min_cosine: float, neighbours: int, always: int, threads: int) -> Ids:
    owners = np.arange(len(vectors))
    sample = vectors[np.unique(np.linspace(0, len(vectors) - 1, min(_SAMPLE, len(vectors))).astype(np.int64))]
    index = new_index(sample, len(vectors))
    extend_index(index, vectors, owners)
    return ask_index(index, vectors, owners, neighbours, min_cosine, always, threads)


def _side_by_side(work: Callable[[S], T], parts: Iterable[S], threads: int) -> list[T]:
    """Apply `work` to each part, in as many threads; the libraries' own threads spin where cores are busy."""
    if threads == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads, "candidates") as pool:
        return list(pool.map(work, parts))


def _among_nearest(pairs: Ids, cosine: Vectors, count: int, neighbours: int) -> NDArray[np.bool_]:
    """Find the pairs that are among the `neighbours` nearest of either image, as a mask."""
    picture = np.concatenate([pairs[:, 0], pairs[:, 1]])
    other = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.lexsort((other, -np.concatenate([cosine, cosine]), picture))
    first = np.searchsorted(picture[order], np.arange(count))
    rank = np.arange(len(order)) - first[picture[order]]
    kept = np.zeros(len(pairs), bool)
    if len(pairs):
        kept[order[rank < neighbours] % len(pairs)] = True
    return kept
