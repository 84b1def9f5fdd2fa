"""Average linkage against a plain implementation of its definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deployments.algorithms.people.linkage import link
from deployments.algorithms.people.neighbours import Forest

CUT = 0.6


def some_people(
    seed: int, people: int, faces: int, spread: float = 0.05, dimensions: int = 16
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors `float32[people * faces, D]` scattered about random directions, and whose each is."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, dimensions))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = np.repeat(centres, faces, axis=0) + spread * rng.standard_normal((people * faces, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.repeat(np.arange(people), faces)


def partition(labels: Sequence[int] | NDArray[np.int64]) -> set[frozenset[int]]:
    labels = np.asarray(labels)
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels[labels >= 0])}


def link_by_definition(vectors: NDArray[np.float32], pictures: Sequence[int], cut: float) -> list[list[int]]:
    """Merge the two clusters at the least mean squared distance, every distance counted, until none is in the cut."""
    wide = vectors.astype(np.float64)
    squared = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    clusters = [[index] for index in range(len(vectors))]
    while True:
        options = [
            (squared[np.ix_(a, b)].mean(), i, j)
            for i, a in enumerate(clusters)
            for j, b in enumerate(clusters[:i])
            if not {pictures[x] for x in a} & {pictures[x] for x in b}
        ]
        if not options or min(options)[0] > cut**2:
            return clusters
        _, i, j = min(options)
        clusters[j] += clusters.pop(i)


def linked(
    vectors: NDArray[np.float32], pictures: Sequence[int], cut: float, forest: Forest | None = None
) -> NDArray[np.int64]:
    ones = np.ones(len(vectors), np.int64)
    return link(vectors, ones, [{picture} for picture in pictures], cut, forest or Forest()).cluster


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    people=st.integers(1, 5),
    faces=st.integers(1, 6),
    spread=st.floats(0.02, 0.5),
    pictures=st.integers(1, 30),
    listed=st.sampled_from([1, 2, 32]),
)
def test_linkage_equals_the_definition_however_few_neighbours_are_listed(
    seed: int, people: int, faces: int, spread: float, pictures: int, listed: int
) -> None:
    vectors, _ = some_people(seed, people, faces, spread, dimensions=6)
    of = np.random.default_rng(seed).integers(0, pictures, len(vectors)).tolist()
    assert partition(linked(vectors, of, CUT, Forest(listed=listed))) == {
        frozenset(c) for c in link_by_definition(vectors, of, CUT)
    }


def test_a_few_listed_neighbours_serve_a_cluster_of_hundreds() -> None:
    vectors, people = some_people(1, people=3, faces=150, spread=0.04)
    assert partition(linked(vectors, range(len(vectors)), CUT)) == partition(people)


def test_a_cluster_whose_nearest_all_share_its_image_still_finds_its_match() -> None:
    # Sixty near copies of a face in one image hide, from each other's lists, the one face of another image.
    rng = np.random.default_rng(0)
    vectors, _ = some_people(2, people=1, faces=1)
    crowd = np.repeat(vectors, 60, axis=0) + 1e-3 * rng.standard_normal((60, vectors.shape[1]))
    other = vectors + 0.1 * rng.standard_normal(vectors.shape)
    everyone = np.concatenate([crowd, other]).astype(np.float32)
    everyone /= np.linalg.norm(everyone, axis=1, keepdims=True)
    clusters = linked(everyone, [0] * 60 + [1], CUT)
    assert sorted(len(c) for c in partition(clusters)) == [1] * 59 + [2]


def test_a_chain_of_close_faces_is_cut() -> None:
    angles = np.arange(20) * 0.3
    chain = np.stack([np.cos(angles), np.sin(angles), np.full(20, 1.5)], axis=1).astype(np.float32)
    chain /= np.linalg.norm(chain, axis=1, keepdims=True)
    steps = np.linalg.norm(chain[1:] - chain[:-1], axis=1)
    clusters = partition(linked(chain, range(20), 2 * float(steps.max())))
    assert len(clusters) > 3
    assert all(max(cluster) - min(cluster) < 7 for cluster in clusters)


def test_clusters_that_take_part_whole_count_with_all_their_faces() -> None:
    vectors = np.eye(3, dtype=np.float32)
    means = np.stack([vectors[0] * 0.99, (vectors[0] + vectors[1]) / 2])
    result = link(means, np.array([8, 2]), [{1, 2}, {3}], cut=1.1, forest=Forest())
    assert result.cluster.tolist() == [0, 0]
    apart = link(means, np.array([8, 2]), [{1, 3}, {3}], cut=1.1, forest=Forest())
    assert apart.cluster.tolist() == [0, 1]


def test_a_forest_finds_the_groups_that_comparing_all_pairs_finds() -> None:
    vectors, people = some_people(3, people=80, faces=10, spread=0.06, dimensions=32)
    thin = Forest(trees=6, leaf_points=64)
    assert len(vectors) > thin.exhaustive_points
    assert partition(linked(vectors, range(len(vectors)), 0.7, thin)) == partition(people)


@pytest.mark.parametrize("size", [0, 1])
def test_linkage_of_at_most_one_face_merges_nothing(size: int) -> None:
    vectors, _ = some_people(0, people=1, faces=1)
    assert linked(vectors[:size], range(size), CUT).tolist() == list(range(size))
