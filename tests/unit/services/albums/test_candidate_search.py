"""The search for candidate pairs against an index that is kept from one time to the next."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.settings import Duplicates, Settings
from deployments.algorithms.duplicates.candidates import ALWAYS, find_candidates
from deployments.contracts.arrays import VIEWS
from deployments.dedup import DedupDeployment
from serve_app.services.albums.candidate_search import CandidateSearch
from serve_app.services.albums.candidate_state import AlbumPairs, CandidateState
from serve_app.services.jobs.progress import Progress

LIMITS = Duplicates(min_cosine=0.5, max_neighbours=3, index_from=2)
PICTURES = 48
Pairs = set[tuple[str, str]]


def _some_vectors() -> dict[str, NDArray[np.float16]]:
    """Contents in scenes of six, more than the three neighbours that are kept. An image's views are alike: which of two
    images asks does not decide what is found."""
    draw = np.random.default_rng(5)
    scenes = np.repeat(draw.normal(size=(PICTURES // 6, 1, 24)), 6, axis=0)
    wholes = scenes + 0.7 * draw.normal(size=(PICTURES, 1, 24))
    vectors = (wholes + 0.01 * draw.normal(size=(PICTURES, len(VIEWS), 24))).astype(np.float16)
    return {hashlib.sha256(bytes([place])).hexdigest(): row for place, row in enumerate(vectors)}


VECTORS = _some_vectors()
NAMES = list(VECTORS)


class KeptFiles:
    """States as the bytes that the storage would hold."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def load(self, album_id: str, fingerprint: str) -> CandidateState | None:
        data = self.files.get(album_id)
        return None if data is None else CandidateState.from_bytes(data, fingerprint)

    async def save(self, album_id: str, state: CandidateState, fingerprint: str) -> None:
        self.files[album_id] = state.to_bytes(fingerprint)


class Finder(DedupDeployment):
    """The real one, which notes how many images ask."""

    asked = 0

    async def ask_index(self, index, vectors, numbers, min_cosine, neighbours):  # type: ignore[no-untyped-def]
        self.asked += len(numbers)
        return await super().ask_index(index, vectors, numbers, min_cosine, neighbours)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder(Settings())


async def _load(shas: Sequence[str]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    return np.stack([VECTORS[sha] for sha in shas]), np.ones(len(shas), np.bool_)


def a_search(finder: Finder, kept: KeptFiles, names: Sequence[str], limits: Duplicates = LIMITS) -> CandidateSearch:
    return CandidateSearch(_load, finder, kept, limits, "model", "album", sorted(names))


def named(names: Sequence[str], found: AlbumPairs) -> Pairs:
    ordered = sorted(names)
    pairs = found.pairs
    return {(ordered[a], ordered[b]) for a, b in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)}


def among_all(names: Sequence[str]) -> Pairs:
    """The pairs by a comparison of all with all."""
    ordered = sorted(names)
    vectors = np.stack([VECTORS[name] for name in ordered])
    found = find_candidates(vectors, LIMITS.min_cosine, LIMITS.max_neighbours, always=ALWAYS)
    return {(ordered[a], ordered[b]) for a, b in zip(found.left.tolist(), found.right.tolist(), strict=True)}


@settings(max_examples=40)
@given(
    steps=st.lists(
        st.tuples(
            st.sets(st.integers(0, PICTURES - 1), max_size=12),
            st.sets(st.integers(0, PICTURES - 1), max_size=12),
            st.sampled_from(["kept", "kept", "lost", "damaged"]),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_after_additions_deletions_and_losses_the_pairs_are_those_of_a_full_search(runner, finder, steps):
    kept, held = KeptFiles(), set(range(6))
    for come, go, file in steps:
        held = (held | come) - go | {0, 1}
        names = [NAMES[place] for place in held]
        if file == "lost":
            kept.files.clear()
        elif file == "damaged" and "album" in kept.files:
            data = kept.files["album"]
            kept.files["album"] = data[: len(data) // 2] + b"\0" + data[len(data) // 2 + 1 :]
        found = runner.run(a_search(finder, kept, names).run(Progress()))
        assert named(names, found) == among_all(names)


def test_one_picture_more_is_the_only_one_that_asks(runner, finder):
    kept = KeptFiles()
    runner.run(a_search(finder, kept, NAMES[:40]).run(Progress()))
    before = finder.asked
    runner.run(a_search(finder, kept, NAMES[:41]).run(Progress()))
    assert finder.asked - before == 1


def test_after_one_is_deleted_only_those_that_were_near_it_ask(runner, finder):
    kept = KeptFiles()
    first = runner.run(a_search(finder, kept, NAMES).run(Progress()))
    near = {pair for pair in named(NAMES, first) if NAMES[7] in pair}
    before = finder.asked
    runner.run(a_search(finder, kept, [name for name in NAMES if name != NAMES[7]]).run(Progress()))
    assert finder.asked - before == len(near)


def test_an_index_of_other_settings_is_not_used(runner, finder):
    kept = KeptFiles()
    runner.run(a_search(finder, kept, NAMES).run(Progress()))
    before = finder.asked
    runner.run(a_search(finder, kept, NAMES, Duplicates(min_cosine=0.6, index_from=2)).run(Progress()))
    assert finder.asked - before == len(NAMES)


def test_an_index_is_trained_anew_when_it_has_grown_to_twice_its_size(runner, finder):
    kept = KeptFiles()
    for count in (10, 20):
        runner.run(a_search(finder, kept, NAMES[:count]).run(Progress()))
    assert runner.run(kept.load("album", a_search(finder, kept, [])._fingerprint)).trained_for == 10
    runner.run(a_search(finder, kept, NAMES[:21]).run(Progress()))
    assert runner.run(kept.load("album", a_search(finder, kept, [])._fingerprint)).trained_for == 21


def test_settled_pairs_stay_so_and_are_not_open_the_next_time(runner, finder):
    kept = KeptFiles()
    search = a_search(finder, kept, NAMES[:40])
    found = runner.run(search.run(Progress()))
    first = (int(found.pairs.left[0]), int(found.pairs.right[0]))
    runner.run(search.settle(found, {first}))
    again = runner.run(a_search(finder, kept, NAMES[:40]).run(Progress()))
    assert list(zip(again.open.left.tolist(), again.open.right.tolist(), strict=True)) == [first]
    assert len(again.pairs.left) == len(found.pairs.left)


def test_a_content_without_vectors_is_asked_for_once_it_has_some(runner, finder):
    kept, late = KeptFiles(), NAMES[3]

    async def load(shas: Sequence[str]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        vectors, _ = await _load(shas)
        present = np.array([sha != late for sha in shas])
        return vectors * present[:, None, None], present

    search = CandidateSearch(load, finder, kept, LIMITS, "model", "album", sorted(NAMES))
    found = named(NAMES, runner.run(search.run(Progress())))
    assert not any(late in pair for pair in found)
    assert named(NAMES, runner.run(a_search(finder, kept, NAMES).run(Progress()))) == among_all(NAMES)


def test_a_small_album_keeps_no_index(runner, finder):
    kept = KeptFiles()
    runner.run(a_search(finder, kept, NAMES, Duplicates(index_from=PICTURES + 1)).run(Progress()))
    assert kept.files == {}
