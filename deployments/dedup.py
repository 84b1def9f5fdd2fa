"""Duplicate deployment: candidate pairs, local features and geometric verification; loads no model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from configs.settings import Settings
from deployments.algorithms.duplicates.candidates import (
    ALWAYS,
    SLACK,
    ask_index,
    extend_index,
    find_candidates,
    new_index,
)
from deployments.algorithms.duplicates.features import FeatureLimits, describe
from deployments.algorithms.duplicates.index import NeighbourIndex
from deployments.algorithms.duplicates.verdict import CopyCriteria, verify_pair
from deployments.algorithms.duplicates.view_vectors import best_cosines
from deployments.contracts.albums import LocalFeatures, Pairs, PairVerdict
from deployments.contracts.arrays import Image, Packed, StoredVectors, Vectors
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads

_HEALTH_PX = 64


class DedupDeployment(Checked):
    """Implementation of `contracts.albums.DuplicateFinder`."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self._limits = FeatureLimits()
        self._rule = CopyCriteria()
        self._cores = settings.runtime.threads
        self._threads = Threads(self._cores)
        # Calls run side by side, each on one core: the libraries' own threads would only get in their way, and those of
        # BLAS wait by spinning.
        threadpool_limits(1)

    async def check_health(self) -> None:
        """Compare a small image with itself; raises what the algorithm raises."""
        image = np.random.default_rng(0).integers(0, 255, (_HEALTH_PX, _HEALTH_PX, 3), np.uint8)
        await self._threads.check(self._compare_with_itself, image)

    async def find_candidates(self, vectors: StoredVectors, min_cosine: float, max_neighbours: int) -> Pairs:
        """Find pairs of images that may be copies by the cosine of their view vectors."""
        search = partial(find_candidates, always=ALWAYS, threads=self._cores)
        return await self._threads.run(search, vectors, min_cosine, max_neighbours)

    async def train_index(self, sample: StoredVectors, count: int) -> Packed:
        """Make an empty index for about `count` images like those of the sample."""
        return await self._threads.run(lambda: new_index(sample, count).save())

    async def extend_index(self, index: Packed, vectors: StoredVectors, numbers: NDArray[np.int64]) -> Packed:
        """Add images to an index."""

        def extend() -> Packed:
            loaded = NeighbourIndex.load(index)
            extend_index(loaded, vectors, numbers)
            return loaded.save()

        return await self._threads.run(extend)

    async def ask_index(
        self,
        index: Packed,
        vectors: StoredVectors,
        numbers: NDArray[np.int64],
        min_cosine: float,
        neighbours: int,
    ) -> NDArray[np.int64]:
        """Find the images near each of some, in pairs."""

        def ask() -> NDArray[np.int64]:
            loaded = NeighbourIndex.load(index)
            return ask_index(loaded, vectors, numbers, neighbours, min_cosine - SLACK, ALWAYS, self._cores)

        return await self._threads.run(ask)

    async def compare_vectors(self, vectors: StoredVectors, pairs: NDArray[np.int64]) -> Vectors:
        """Compute the best cosine over the views of pairs."""
        return await self._threads.run(best_cosines, vectors, pairs)

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]:
        """Extract the local features of each image, side by side."""
        return await self._threads.run_each(partial(describe, limits=self._limits), images)

    async def compare_images(
        self, features: Sequence[LocalFeatures], left: Sequence[int], right: Sequence[int]
    ) -> list[PairVerdict]:
        """Verify each pair `(left[i], right[i])` of indices into `features`.

        Raises `ValueError` on index lists of unlike length.
        """
        if len(left) != len(right):
            raise ValueError("left and right must be of the same length")
        pairs = list(zip(left, right, strict=True))
        chunks = [pairs[start : start + _PAIRS_A_CALL] for start in range(0, len(pairs), _PAIRS_A_CALL)]
        verdicts = await self._threads.run_each(partial(self._judge_all, features), chunks)
        return [verdict for chunk in verdicts for verdict in chunk]

    def _compare_with_itself(self, image: Image) -> None:
        features = describe(image, self._limits)
        verify_pair(features, features, self._rule)

    def _judge_all(self, features: Sequence[LocalFeatures], pairs: list[tuple[int, int]]) -> list[PairVerdict]:
        return [verify_pair(features[i], features[j], self._rule) for i, j in pairs]


_PAIRS_A_CALL = 16
"""Pairs that one thread verifies before another call gets its turn: about a tenth of a second."""
