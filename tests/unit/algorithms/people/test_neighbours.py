"""Neighbour search under linkage."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.algorithms.people.neighbours import Forest, nearest


def some_points(count: int, dimensions: int = 12, seed: int = 0) -> NDArray[np.float32]:
    points = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def test_the_neighbour_search_compares_all_pairs_among_few_points() -> None:
    points = some_points(300)
    found = nearest(points, np.arange(0, 300, 3), 5, 0.1, Forest())
    products = (points @ points.T).astype(np.float64)
    np.fill_diagonal(products, -1)
    for row, query in enumerate(range(0, 300, 3)):
        best = np.argsort(-products[query])[:5]
        expected = [index for index in best.tolist() if products[query, index] >= 0.1]
        assert [index for index in found.ids[row].tolist() if index >= 0] == expected


def test_a_point_is_not_its_own_neighbour_but_its_twin_is() -> None:
    points = np.repeat(some_points(4), 2, axis=0)
    found = nearest(points, np.arange(8), 1, 0.99, Forest())
    assert found.ids[:, 0].tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


def test_a_point_far_from_all_lists_no_neighbours() -> None:
    found = nearest(np.eye(4, dtype=np.float32), np.arange(4), 2, 0.5, Forest())
    assert (found.ids == -1).all()
    assert np.isneginf(found.similarity).all()


def test_neighbours_that_a_forest_lists_are_true_and_listed_once() -> None:
    points = np.concatenate([some_points(400), some_points(400)]) + 0
    forest = Forest(trees=4, leaf_points=50)
    found = nearest(points, np.arange(800), 6, 0.3, forest, seed=1)
    for query, (ids, similarity) in enumerate(zip(found.ids, found.similarity, strict=True)):
        listed = ids[ids >= 0]
        assert len(set(listed.tolist())) == len(listed)
        assert query not in listed
        assert similarity[ids >= 0] == pytest.approx(points[listed] @ points[query], abs=1e-5)


def test_a_forest_keeps_nearly_all_close_pairs() -> None:
    points = some_points(1000, dimensions=24)
    twins = points + 0.05 * some_points(1000, dimensions=24, seed=1)
    found = nearest(np.concatenate([points, twins]), np.arange(1000), 1, 0.5, Forest(trees=8, leaf_points=100))
    assert np.mean(found.ids[:, 0] == np.arange(1000, 2000)) > 0.95


def test_the_same_seed_gives_the_same_neighbours_and_another_may_not() -> None:
    points, forest = some_points(2000), Forest(trees=1, leaf_points=100)
    one, same, other = (nearest(points, np.arange(2000), 3, 0.1, forest, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.ids, same.ids)
    assert not np.array_equal(one.ids, other.ids)
