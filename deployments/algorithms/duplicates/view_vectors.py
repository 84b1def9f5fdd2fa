"""Vectors of an image's views as the search for candidates uses them: which are stored, which ask, exact cosines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import VIEWS, Vectors

RawVectors = NDArray[np.floating[Any]]
"""Raw view vectors `[N, V, D]`, V = 7 in the order of `VIEWS` or V = 1 for whole views only, of any float type."""
Ids = NDArray[np.int64]

_STORED = ("whole", "centre", "trimmed", "crop")
_TURNS = ("quarter", "half", "three_quarters")
_PAIR_BLOCK = 8192
"""View vectors of pairs that are scaled at once: 42 MB, twice that where no image is in two pairs."""


def check_shape(vectors: RawVectors) -> None:
    """Raises `ValueError` for another shape than `RawVectors` says."""
    if vectors.ndim != 3 or vectors.shape[1] not in (1, len(VIEWS)):
        raise ValueError(f"vectors must be [N, 1 or {len(VIEWS)}, D], not {list(vectors.shape)}")


def stored_rows(vectors: RawVectors, owners: Ids) -> tuple[Vectors, Ids]:
    """Make the unit vectors by which images are found, `float32[R, D]`, and the owner of each."""
    return _rows(vectors, owners, _STORED)


def asking_rows(vectors: RawVectors, owners: Ids) -> tuple[Vectors, Ids]:
    """Make the unit vectors by which images look for others, `float32[R, D]`, and the owner of each."""
    return _rows(vectors, owners, _STORED + _TURNS)


def whole_rows(vectors: RawVectors, size: int = 20_000) -> Vectors:
    """Take unit whole views spread evenly over the images, at most `size`."""
    chosen = np.unique(np.linspace(0, len(vectors) - 1, min(size, len(vectors))).astype(np.int64))
    return unit(vectors[chosen, :1])[:, 0]


def all_cosines(vectors: RawVectors) -> Vectors:
    """Compute the best cosine over the views of every two images, `float32[N, N]`, -1 on the diagonal."""
    rows = unit(vectors[:])
    stored = rows[:, _places(_STORED, rows)]
    count, views, width = stored.shape
    targets = stored.reshape(count * views, width).T
    best = np.full((count, count), -1.0, np.float32)
    for place in _places(_STORED + _TURNS, rows):
        best = np.maximum(best, (rows[:, place] @ targets).reshape(count, count, views).max(axis=2))
    best = np.maximum(best, best.T)
    np.fill_diagonal(best, -1.0)
    return best


def cross_cosines(left: Vectors, right: Vectors) -> Vectors:
    """Compute the best cosine over views of each two of unit `float32[A, V, D]` and `[B, V, D]`, `float32[A, B]`."""
    views, width = left.shape[1:]
    cosine = (left.reshape(-1, width) @ right.reshape(-1, width).T).reshape(len(left), views, len(right), views)
    apart = ~_comparable(left)
    best: Vectors = np.where(apart[None, :, None, :], -1.0, cosine).max(axis=(1, 3))
    return np.minimum(best, 1.0).astype(np.float32)


def best_cosines(vectors: RawVectors, pairs: Ids) -> Vectors:
    """Compute the best cosine over the views of each pair `int64[P, 2]` of images, either one asking.

    Quickest where pairs are sorted by their left image.
    """
    size = max(1, _PAIR_BLOCK // vectors.shape[1])
    best = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), size):
        block = pairs[start : start + size]
        # An image is in many pairs of a block: read and scale it once.
        pictures, place = np.unique(block, return_inverse=True)
        rows = unit(vectors[pictures])
        place = place.reshape(block.shape)
        first = np.flatnonzero(np.diff(place[:, 0], prepend=-1))
        for begin, end in zip(first, [*first[1:], len(block)], strict=True):
            best[start + begin : start + end] = cross_cosines(rows[place[begin, 0]][None], rows[place[begin:end, 1]])[0]
    return best


def _comparable(vectors: RawVectors) -> NDArray[np.bool_]:
    """Which view of one image is compared with which of another, either one asking, `bool[V, V]`."""
    stored, asked = _places(_STORED, vectors), _places(_STORED + _TURNS, vectors)
    table = np.zeros((vectors.shape[1],) * 2, np.bool_)
    table[np.ix_(asked, stored)] = table[np.ix_(stored, asked)] = True
    return table


def unit(vectors: RawVectors) -> Vectors:
    """Scale vectors to length one, `float32`; those without direction stay zero."""
    rows = np.array(vectors, np.float32)
    rows /= np.maximum(np.sqrt(np.einsum("...d,...d->...", rows, rows)), 1e-12)[..., None]
    return rows


def _rows(vectors: RawVectors, owners: Ids, names: tuple[str, ...]) -> tuple[Vectors, Ids]:
    """Make unit vectors of the named views, without those that repeat the whole."""
    places = _places(names, vectors)
    block = unit(vectors)
    parts, of = [block[:, 0]], [owners]
    for place in places[1:]:
        differs = (block[:, place] != block[:, 0]).any(axis=1)
        parts.append(block[differs, place])
        of.append(owners[differs])
    return np.concatenate(parts), np.concatenate(of)


def _places(names: tuple[str, ...], vectors: RawVectors) -> list[int]:
    """Find the indices of the named views; the whole is all there is where V is 1."""
    return [VIEWS.index(name) for name in names] if vectors.shape[1] > 1 else [0]
