"""Steps of the search for candidate pairs over the contents of an album, a part of their vectors at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.settings import Duplicates
from deployments.algorithms.duplicates.candidates import ALWAYS, MIN_ALWAYS, SPARE, select_pairs
from deployments.contracts.albums import DuplicateFinder
from deployments.contracts.arrays import Packed, StoredVectors
from serve_app.services.albums.candidate_state import NOBODY, AlbumPairs
from serve_app.services.jobs.progress import Progress

Ids = NDArray[np.int64]
P = TypeVar("P", int, Ids)
LoadVectors = Callable[[Sequence[str]], Awaitable[tuple[StoredVectors, NDArray[np.bool_]]]]
"""Loads vectors of contents, and which of them have any."""

_CHUNK = 1024
"""Contents whose vectors are in one call: 18 MB."""
_SAMPLE = 4096
"""Contents that an index is trained on, and that are added to it at once: 73 MB."""
_REACH = 64
"""Neighbours that a new content is answered with. More than are kept: it may be among the nearest of images that are
not among its own nearest."""
_HALF = 32
"""Bits of a place in a pair's code."""


class Contents:
    """The contents of an album, named by their place."""

    def __init__(
        self,
        load: LoadVectors,
        finder: DuplicateFinder,
        limits: Duplicates,
        shas: Sequence[str],
    ) -> None:
        self._load_vectors = load
        self._finder = finder
        self._limits = limits
        self._shas = shas

    async def search_all(self) -> AlbumPairs:
        """Find the candidate pairs among all in one call."""
        embedded, _ = await self._load_vectors(self._shas)
        limits = self._limits
        pairs = await self._finder.find_candidates(embedded, limits.min_cosine, limits.max_neighbours)
        return AlbumPairs(pairs, np.zeros(len(pairs.left), bool))

    async def build(self, progress: Progress) -> tuple[Packed, Ids]:
        """Build an index of all. -> it, and the place of each number"""
        count = len(self._shas)
        chosen = np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).astype(np.int64))
        sample, present = await self._load(chosen)
        if not present.any():
            return np.zeros(0, np.uint8), np.zeros(0, np.int64)
        index = await self._finder.train_index(sample[present], count)
        return await self.extend(index, np.zeros(0, np.int64), np.arange(count), progress)

    async def extend(self, index: Packed, place: Ids, new: Ids, progress: Progress) -> tuple[Packed, Ids]:
        """Add places to an index; those without vectors get no number, and are new the next time as well."""
        for chunk in _chunks(new, progress, _SAMPLE):  # the whole index travels with each call
            embedded, present = await self._load(chunk)
            added = chunk[present]
            if len(added):
                index = await self._finder.extend_index(index, embedded[present], len(place) + np.arange(len(added)))
                place = np.concatenate([place, added])
        return index, place

    async def ask(self, index: Packed, place: Ids, asking: Ids, progress: Progress) -> Ids:
        """Ask for the images near some places. -> pairs as codes, each once"""
        limits = self._limits
        floor, neighbours = limits.min_cosine, round(SPARE * limits.max_neighbours)
        if len(asking) < len(self._shas):  # the others do not ask for these
            floor, neighbours = min(floor, MIN_ALWAYS), max(_REACH, neighbours)
        number = self.numbers(place)
        found = [np.zeros(0, np.int64)]
        for chunk in _chunks(asking[number[asking] != NOBODY], progress):
            embedded, _ = await self._load(chunk)
            near = place[await self._finder.ask_index(index, embedded, number[chunk], floor, neighbours)]
            near = np.sort(near[(near != NOBODY).all(axis=1)], axis=1)
            found.append(codes_of(near[:, 0], near[:, 1]))
        return np.unique(np.concatenate(found))

    async def select(self, known: AlbumPairs, asked: Ids, progress: Progress) -> AlbumPairs:
        """Compare the vectors of pairs that are not known, and select the candidates among all."""
        old = codes_of(known.pairs.left, known.pairs.right)
        fresh = np.setdiff1d(asked, old, assume_unique=True)
        new = await asyncio.to_thread(_by_neighbourhood, fresh, len(self._shas))
        cosines = [known.pairs.cosine]
        for chunk in _chunks(new, progress):
            pairs = _uncoded(chunk)
            members, row = np.unique(pairs, return_inverse=True)
            embedded, _ = await self._load(members)
            cosines.append(await self._finder.compare_vectors(embedded, row.reshape(pairs.shape)))
        every, cosine = _uncoded(np.concatenate([old, new])), np.concatenate(cosines)
        limits = self._limits
        rules = (limits.min_cosine, limits.max_neighbours, ALWAYS)
        chosen = await asyncio.to_thread(select_pairs, every, cosine, len(self._shas), *rules)
        return AlbumPairs(chosen, np.isin(codes_of(chosen.left, chosen.right), old[known.settled]))

    def numbers(self, place: Ids) -> Ids:
        """Find the number of each place in an index, or `NOBODY`."""
        number = np.full(len(self._shas), NOBODY)
        there = np.flatnonzero(place != NOBODY)
        number[place[there]] = there
        return number

    async def _load(self, places: Ids) -> tuple[StoredVectors, NDArray[np.bool_]]:
        return await self._load_vectors([self._shas[place] for place in places])


def codes_of(left: P, right: P) -> P:
    """Write pairs as one number each, which sort as the pairs do."""
    return left << _HALF | right


def _uncoded(codes: Ids) -> Ids:
    return np.stack([codes >> _HALF, codes & ((1 << _HALF) - 1)], axis=1)


def _by_neighbourhood(codes: Ids, count: int) -> Ids:
    """Put pairs in an order in which few images are in a chunk, each in many pairs: vectors are read once a chunk."""
    # A third of a second, which workers and ingresses that start need not pay.
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    pairs = _uncoded(codes)
    graph = csr_matrix((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    rank = np.argsort(reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True))
    ends = np.sort(rank[pairs], axis=1)
    return codes[np.lexsort((ends[:, 1], ends[:, 0]))]


def _chunks(items: Ids, progress: Progress, size: int = _CHUNK) -> Iterator[Ids]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
        progress.report(min(1.0, (start + size) / len(items)))
