"""Nearest neighbours among millions of view vectors: a projection, then all rows when they are few, else an inverted
file of 4-bit codes.

Both structures are faiss' (Douze et al. 2024, arXiv 2401.08281; codes: André et al. 2015, "fast scan"). The file reads
few lists a query, and short ones, so that the cost of a query grows slowly with the collection. Its scores are rough.

Every call works in the thread that makes it: faiss' own threads (OpenMP) wait for one another by spinning, which took
three to four times the processor time of one thread where cores were busy. Callers run several searches side by side.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Vectors

_DIMENSIONS = 256
"""Dimensions after the projection."""
_FLAT_BELOW = 16_000
"""Rows up to which comparing all is no dearer than the file with its training (docs/scale.md)."""
_LISTS = 4.0
"""Lists of the inverted file, times the root of the number of rows."""
_PROBED, _PROBED_AT, _PROBED_GROWTH = 64, 10_000, 0.3
"""Lists that a query reads at so many rows, and the power with which they grow: a far copy's list is found more rarely
among many."""
_TRAINING_ROWS = 32
"""Rows a list that k-means is trained on, as far as there are so many."""
_SEED = 1234

Ids = NDArray[np.int64]


class NeighbourIndex:
    """Index of unit vectors, each owned by a numbered image."""

    def __init__(self, projection: Vectors, index: Any, owners: NDArray[np.int32]) -> None:
        self._projection = projection
        self._index = index
        self._owners = [owners]

    @classmethod
    def train(cls, sample: Vectors, rows: int, training: Iterable[Vectors]) -> NeighbourIndex:
        """Make an empty index for about `rows` rows.

        `sample`: unit vectors `float32[S, D]` of whole images, for the projection; `training`: blocks of those of all
        stored views, for the lists and codes.
        """
        _work_in_this_thread()
        projection = _principal_directions(sample, _DIMENSIONS)
        width = projection.shape[1]
        if rows <= _FLAT_BELOW:
            return cls(projection, faiss.IndexFlatIP(width), np.zeros(0, np.int32))
        points = np.concatenate([_project(block, projection) for block in training])
        lists = max(1, min(round(_LISTS * rows**0.5), rows // _TRAINING_ROWS, len(points)))
        index: Any = faiss.index_factory(width, f"IVF{lists},PQ{width // 2}x4fsr", faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = _SEED, 6, 1
        wanted = min(len(points), max(lists * _TRAINING_ROWS, 10_000))
        index.train(points[np.linspace(0, len(points) - 1, wanted).astype(np.int64)])
        return cls(projection, index, np.zeros(0, np.int32))

    def add(self, rows: Vectors, owners: Ids) -> None:
        """Add unit vectors `float32[N, D]` and the image that owns each."""
        _work_in_this_thread()
        if len(rows):
            self._index.add(_project(rows, self._projection))
            self._owners.append(owners.astype(np.int32))

    def search(self, rows: Vectors, owners: Ids, neighbours: int, min_cosine: float, always: int = 0) -> Found:
        """Find the rows near each row, those of its own image left out: asking and answering images, rough cosines.

        The `always` nearest are named whatever their cosine. Any number of threads may search at once.
        """
        _work_in_this_thread()
        owner_of = self._join_owners()
        if not len(rows) or not len(owner_of):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        # An image stands there with up to four rows, its own ones first of all.
        wanted = min(neighbours + 4, len(owner_of))
        cosine, found = self._index.search(_project(rows, self._projection), wanted, params=self._effort())
        answering = owner_of[found].astype(np.int64)
        asking = np.broadcast_to(owners[:, None], found.shape)
        is_other = (found >= 0) & (answering != asking)
        is_nearest = is_other & (np.cumsum(is_other, axis=1) <= always)
        good = is_other & ((cosine >= min_cosine) | is_nearest)
        return asking[good], answering[good], cosine[good]

    def save(self) -> NDArray[np.uint8]:
        """Write the index as bytes for `load`, about 80 a row in a file."""
        parts = io.BytesIO()
        np.savez(
            parts,
            projection=self._projection,
            index=faiss.serialize_index(self._index),
            owners=self._join_owners(),
        )
        return np.frombuffer(parts.getbuffer(), np.uint8)

    @classmethod
    def load(cls, data: NDArray[np.uint8]) -> NeighbourIndex:
        """Read an index that `save` wrote. Raises `ValueError` or `zipfile.BadZipFile` for other bytes."""
        with np.load(io.BytesIO(data.data), allow_pickle=False) as parts:
            index = faiss.deserialize_index(parts["index"])
            return cls(parts["projection"], index, parts["owners"])

    def _join_owners(self) -> NDArray[np.int32]:
        if len(self._owners) > 1:
            self._owners = [np.concatenate(self._owners)]
        return self._owners[0]

    def _effort(self) -> Any:
        """Lists that a query reads, by the rows that there are now."""
        if not isinstance(self._index, faiss.IndexIVFFastScan):
            return None
        grown = max(1.0, self._index.ntotal / _PROBED_AT) ** _PROBED_GROWTH
        effort = faiss.SearchParametersIVF()
        effort.nprobe = min(self._index.nlist, round(_PROBED * grown))
        return effort


Found = tuple[Ids, Ids, Vectors]
"""Asking images, answering images and their rough cosines, each `[P]`."""


def _work_in_this_thread() -> None:
    faiss.omp_set_num_threads(1)  # a setting of the thread, not of the process


def _project(rows: Vectors, projection: Vectors) -> Vectors:
    projected = rows @ projection
    unit: Vectors = projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)
    return unit


def _principal_directions(sample: Vectors, dimensions: int) -> Vectors:
    """Compute principal directions `float32[D, dimensions]`, not centred: what must survive is the cosine, not the
    variance."""
    _, directions = np.linalg.eigh(sample.T @ sample / len(sample))
    return np.ascontiguousarray(directions[:, ::-1][:, :dimensions])
