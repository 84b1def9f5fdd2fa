"""Approximate nearest neighbours among millions of embeddings: a projection, then an inverted file of 4-bit codes.

The file is faiss' (Douze et al. 2024, arXiv 2401.08281; codes: André et al. 2015, "fast scan"). It reads few lists a
query, and short ones, so that the cost of a query grows slowly with the collection. Its scores are rough.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Vectors

_DIMENSIONS = 256
"""Dimensions after the projection."""
_LISTS = 4.0
"""Lists of the inverted file, times the root of the number of rows."""
_PROBED, _PROBED_AT, _PROBED_GROWTH = 64, 10_000, 0.3
"""Lists that a query reads at so many rows, and the power with which they grow: a far copy's list is found more rarely
among many."""
_TRAINING_ROWS = 32
"""Rows a list that k-means is trained on."""
_SEED = 1234


class NeighbourIndex:
    """Index of unit vectors, each owned by an image. Fill it first, then search."""

    def __init__(self, sample: Vectors, rows: int, *, threads: int = 1) -> None:
        """Train the projection. `sample`: unit vectors `float32[S, D]` like those to come; `rows`: about how many will
        come."""
        self._threads = threads
        self._projection = _principal_directions(sample, _DIMENSIONS)
        self._parts: list[Vectors] = []
        self._owners: list[NDArray[np.int64]] = []
        self._lists = max(1, min(round(_LISTS * rows**0.5), rows // _TRAINING_ROWS))
        self._index: Any = None
        self._owner_of: NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, rows: Vectors, owners: NDArray[np.int64]) -> None:
        """Add unit vectors `float32[N, D]` and the image that owns each."""
        self._parts.append(self._project(rows))
        self._owners.append(owners)

    def search(
        self, rows: Vectors, owners: NDArray[np.int64], neighbours: int, min_cosine: float, always: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the rows near each row, those of its own image left out: (asking, answering) images.

        The `always` nearest are named whatever their cosine.
        """
        index = self._index or self._build()
        # An image stands there with up to four rows, its own ones first of all.
        cosine, found = index.search(self._project(rows), neighbours + 4)
        answering = self._owner_of[found]
        asking = np.broadcast_to(owners[:, None], found.shape)
        is_other = (found >= 0) & (answering != asking)
        is_nearest = is_other & (np.cumsum(is_other, axis=1) <= always)
        good = is_other & ((cosine >= min_cosine) | is_nearest)
        return asking[good], answering[good]

    def _build(self) -> Any:
        faiss.omp_set_num_threads(self._threads)
        self._owner_of = np.concatenate(self._owners)
        rows = np.concatenate(self._parts)
        self._parts, self._owners = [], []
        width = rows.shape[1]
        index: Any = faiss.index_factory(width, f"IVF{self._lists},PQ{width // 2}x4fsr", faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = _SEED, 6, 1
        training = min(len(rows), max(self._lists * _TRAINING_ROWS, 10_000))
        index.train(rows[np.linspace(0, len(rows) - 1, training).astype(np.int64)])
        index.add(rows)
        index.nprobe = min(self._lists, round(_PROBED * max(1.0, len(rows) / _PROBED_AT) ** _PROBED_GROWTH))
        self._index = index
        return index

    def _project(self, rows: Vectors) -> Vectors:
        projected = rows @ self._projection
        unit: Vectors = projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)
        return unit


def _principal_directions(sample: Vectors, dimensions: int) -> Vectors:
    """Compute principal directions `float32[D, dimensions]`, not centred: what must survive is the cosine, not the
    variance."""
    _, directions = np.linalg.eigh(sample.T @ sample / len(sample))
    return np.ascontiguousarray(directions[:, ::-1][:, :dimensions])
