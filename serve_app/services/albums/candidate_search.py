"""Candidate pairs of an album: all at once while it is small, else against a stored index, for what is new.

What an addition costs is what was added: the new contents are asked for among all, and the pairs that were found
before are kept. The result is that of a search of the whole album, as far as the index finds what it should
(docs/scale.md). An index is an album's, not its owner's: it then names nothing that is not asked for, whose rows would
take the places of those that are, and it goes when the album does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from configs.settings import Duplicates
from deployments.contracts.albums import DuplicateFinder, Pairs
from serve_app.services.albums.candidate_contents import Contents, LoadVectors, codes_of
from serve_app.services.albums.candidate_state import NOBODY, AlbumPairs, CandidateState, as_hashes
from serve_app.services.jobs.progress import Progress

_GROWTH = 2
"""Times that an index may grow before it is trained anew."""
_MOST_GONE = 0.25
"""Share of an index that may be of contents that have left the album."""
_WORTH_KEEPING = 2500
"""Contents of an album for each that was asked for, up to which the state is written again: that of 100,000 has some 40
MB, and writing them takes as long as asking for 40 contents once more."""


class StateStore(Protocol):
    """Keeps states of albums: `candidate_store.CandidateStore`."""

    async def load(self, album_id: str, fingerprint: str) -> CandidateState | None: ...

    async def save(self, album_id: str, state: CandidateState, fingerprint: str) -> None: ...


class CandidateSearch:
    """Search for the candidate pairs of one album, whose contents are named by their place in sorted order."""

    def __init__(
        self,
        load: LoadVectors,
        finder: DuplicateFinder,
        store: StateStore,
        limits: Duplicates,
        rules: str,
        album_id: str,
        shas: Sequence[str],
    ) -> None:
        """`rules`: names of the model of the vectors, and of what decides which pairs are settled. `shas`: sorted."""
        self._contents = Contents(load, finder, limits, shas)
        self._store = store
        self._limits = limits
        self._fingerprint = f"1 {rules} {limits.min_cosine} {limits.max_neighbours} {limits.min_similar_cosine}"
        self._album_id = album_id
        self._shas = shas
        self._state: CandidateState | None = None

    async def run(self, progress: Progress) -> AlbumPairs:
        """Find the pairs, and keep what the next search can use."""
        if len(self._shas) < self._limits.index_from:
            return await self._contents.search_all()
        hashes = as_hashes(self._shas)
        state = await self._store.load(self._album_id, self._fingerprint) or CandidateState.empty()
        place = state.places(hashes)
        known, bereft = _still_there(state, place)
        is_new = np.ones(len(hashes), bool)
        is_new[place[place != NOBODY]] = False
        new = np.flatnonzero(is_new)

        is_spent = len(place) + len(new) > _GROWTH * state.trained_for
        has_holes = (place == NOBODY).sum() > _MOST_GONE * len(place)
        trained_for, indexing = state.trained_for, progress.part(0.0, 0.2)
        if is_spent or has_holes:
            index, place = await self._contents.build(indexing)
            trained_for = len(hashes) if len(place) else 0
        else:
            index, place = await self._contents.extend(state.index, place, new, indexing)
        asking = np.union1d(new, bereft)
        asked = await self._contents.ask(index, place, asking, progress.part(0.2, 0.6))
        pairs = await self._contents.select(known, asked, progress.part(0.6, 1.0))
        number = self._contents.numbers(place).astype(np.int32)
        self._state = CandidateState(
            hashes=np.where(place == NOBODY, np.bytes_(b""), hashes[place]),
            trained_for=trained_for,
            index=index,
            left=number[pairs.pairs.left],
            right=number[pairs.pairs.right],
            cosine=pairs.pairs.cosine,
            settled=pairs.settled,
        )
        await self._keep(self._state, len(asking))
        return pairs

    async def settle(self, pairs: AlbumPairs, unsettled: set[tuple[int, int]]) -> None:
        """Note that of the pairs that `run` found all but some are known to link nothing, and need no other look."""
        if self._state is None:
            return
        still_open = np.array([codes_of(a, b) for a, b in unsettled], np.int64)
        settled = ~np.isin(codes_of(pairs.pairs.left, pairs.pairs.right), still_open)
        self._state, changed = replace(self._state, settled=settled), int((settled & ~pairs.settled).sum())
        await self._keep(self._state, changed)

    async def _keep(self, state: CandidateState, changed: int) -> None:
        if changed * _WORTH_KEEPING >= len(self._shas):
            await self._store.save(self._album_id, state, self._fingerprint)


def _still_there(state: CandidateState, place: NDArray[np.int64]) -> tuple[AlbumPairs, NDArray[np.int64]]:
    """Find the known pairs of which both are there, and the places of those that have lost a neighbour: they may have
    another one now."""
    left, right = place[state.left], place[state.right]
    whole = (left != NOBODY) & (right != NOBODY)
    left, right = np.minimum(left, right), np.maximum(left, right)
    known = AlbumPairs(Pairs(left[whole], right[whole], state.cosine[whole]), state.settled[whole])
    ends = right[~whole]  # NOBODY is less than any place
    return known, np.unique(ends[ends != NOBODY])
