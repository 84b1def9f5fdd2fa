"""Candidate pairs: images whose embeddings are near enough that one may be a copy of the other.

A copy may be cropped, framed or turned, so an image is looked for with several views of itself among several views of
the others: whole, centre, trimmed and crop are stored, these and quarter turns of the whole are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.duplicates.index import NeighbourIndex
from deployments.contracts.albums import Pairs
from deployments.contracts.arrays import VIEWS, Vectors

RawVectors = NDArray[np.floating[Any]]

_STORED = ("whole", "centre", "trimmed", "crop")
_TURNS = ("quarter", "half", "three_quarters")
_EXACT_BELOW = 1_000
"""Number of images up to which every pair is compared: about a second of work."""
_SPARE = 1.5
"""Neighbours fetched from the index for each one that is kept: the index ranks them by rounded vectors."""
_SLACK = 0.1
"""Cosine by which the index may underrate a pair."""
ALWAYS = 2
"""Nearest others that are looked at however little alike: a thumbnail's views resemble blur more than their original,
which is still the nearest."""
_MIN_ALWAYS = 0.3
"""Cosine that these need all the same."""
_BLOCK = 512
_PAIR_BLOCK = 4096


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
    their order; above, it comes from an inverted file over a projection, which hardly ever misses a pair (see
    docs/duplicates.md) and whose cost grows little more than the number of images. The cosines are always exact.
    Raises `ValueError` for another shape.
    """
    if vectors.ndim != 3 or vectors.shape[1] not in (1, len(VIEWS)):
        raise ValueError(f"vectors must be [N, 1 or {len(VIEWS)}, D], not {list(vectors.shape)}")
    if len(vectors) < 2 or max_neighbours < 1:
        return _as_pairs(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
    if len(vectors) <= exact_below:
        found = _all_pairs(vectors, min_cosine, always)
    else:
        found = _indexed_pairs(vectors, min_cosine - _SLACK, round(_SPARE * max_neighbours), always, threads)
    cosine = _best_cosines(vectors, found)
    near = (cosine >= min_cosine) | ((cosine >= _MIN_ALWAYS) & _among_nearest(found, cosine, len(vectors), always))
    found, cosine = found[near], cosine[near]
    kept = _among_nearest(found, cosine, len(vectors), max_neighbours)
    return _as_pairs(found[kept], cosine[kept])


def _all_pairs(vectors: RawVectors, min_cosine: float, always: int) -> NDArray[np.int64]:
    unit = _unit(vectors[:])
    stored = unit[:, _places(_STORED, unit)]
    count, views, width = stored.shape
    targets = stored.reshape(count * views, width).T
    best = np.full((count, count), -1.0, np.float32)
    for place in _places(_STORED + _TURNS, unit):
        best = np.maximum(best, (unit[:, place] @ targets).reshape(count, count, views).max(axis=2))
    best = np.maximum(best, best.T)
    # A little room for rounding: the final cosines are taken again, pair by pair.
    near = best >= min_cosine - 1e-3
    np.fill_diagonal(best, -1.0)
    if always:
        nearest = np.argpartition(-best, min(always, count - 1), axis=1)[:, : always + 1]
        near[np.arange(count)[:, None], nearest] = True
    return np.argwhere(np.triu(near | near.T, 1))


def _indexed_pairs(
    vectors: RawVectors, min_cosine: float, neighbours: int, always: int, threads: int
) -> NDArray[np.int64]:
    index = NeighbourIndex(_sample(vectors), rows=len(vectors) * min(2, vectors.shape[1]), threads=threads)
    for owners, rows in _rows(vectors, _STORED):
        index.add(rows, owners)
    found = [np.zeros(0, np.int64)]
    for owners, rows in _rows(vectors, _STORED + _TURNS):
        asked, answered = index.search(rows, owners, neighbours, min_cosine, always)
        low, high = np.minimum(asked, answered), np.maximum(asked, answered)
        found.append(np.unique(low * len(vectors) + high))
    codes = np.unique(np.concatenate(found))
    return np.stack([codes // len(vectors), codes % len(vectors)], axis=1)


def _rows(vectors: RawVectors, names: tuple[str, ...]) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """Iterate unit vectors of the named views and the image each is of, in blocks, without views that repeat the
    whole."""
    places = _places(names, vectors)
    for start in range(0, len(vectors), _BLOCK):
        block = _unit(vectors[start : start + _BLOCK])
        owners = np.arange(start, start + len(block))
        parts = [(owners, block[:, 0])]
        for place in places[1:]:
            differs = (block[:, place] != block[:, 0]).any(axis=1)
            parts.append((owners[differs], block[differs, place]))
        yield np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _sample(vectors: RawVectors, size: int = 20_000) -> Vectors:
    """Take unit whole views spread evenly over the images."""
    chosen = np.unique(np.linspace(0, len(vectors) - 1, min(size, len(vectors))).astype(np.int64))
    return _unit(vectors[chosen, :1])[:, 0]


def _best_cosines(vectors: RawVectors, pairs: NDArray[np.int64]) -> Vectors:
    """Compute the best cosine over the views of each pair, either one asking. `pairs` are sorted by their left
    image."""
    stored, asked = _places(_STORED, vectors), _places(_STORED + _TURNS, vectors)
    size = max(1, _PAIR_BLOCK // vectors.shape[1])
    best = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), size):
        block = pairs[start : start + size]
        # An image is in many pairs of a block: read and scale it once.
        pictures, place = np.unique(block, return_inverse=True)
        unit = _unit(vectors[pictures])
        left, right = unit[place.reshape(block.shape)[:, 0]], unit[place.reshape(block.shape)[:, 1]]
        cosine = np.matmul(left[:, asked], right[:, stored].transpose(0, 2, 1)).max(axis=(1, 2))
        if len(asked) > 1:
            backward = np.matmul(right[:, asked], left[:, stored].transpose(0, 2, 1)).max(axis=(1, 2))
            cosine = np.maximum(cosine, backward)
        best[start : start + size] = cosine
    return np.minimum(best, 1.0)


def _among_nearest(pairs: NDArray[np.int64], cosine: Vectors, count: int, neighbours: int) -> NDArray[np.bool_]:
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


def _as_pairs(pairs: NDArray[np.int64], cosine: Vectors) -> Pairs:
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Pairs(left=pairs[order, 0], right=pairs[order, 1], cosine=cosine[order].astype(np.float32))


def _places(names: tuple[str, ...], vectors: RawVectors) -> list[int]:
    """Find the indices of the named views; the whole is all there is where V is 1."""
    return [VIEWS.index(name) for name in names] if vectors.shape[1] > 1 else [0]


def _unit(vectors: RawVectors) -> Vectors:
    rows = np.array(vectors, np.float32)
    rows /= np.maximum(np.sqrt(np.einsum("...d,...d->...", rows, rows)), 1e-12)[..., None]
    return rows
