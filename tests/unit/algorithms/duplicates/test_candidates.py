"""Candidate pairs by embedding similarity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.duplicates.candidates import find_candidates, select_pairs
from deployments.contracts.arrays import VIEWS

WHOLE, QUARTER, TRIMMED, CENTRE = (VIEWS.index(name) for name in ("whole", "quarter", "trimmed", "centre"))


def scenes(count, width=64, seed=0, size=4, spread=0.5):
    """Whole-view vectors of `count` images in scenes of `size`."""
    draw = np.random.default_rng(seed)
    centres = np.repeat(draw.normal(size=(-(-count // size), width)), size, axis=0)[:count]
    return (centres + spread * draw.normal(size=(count, width))).astype(np.float32)[:, None]


def with_views(count, width=64, seed=0):
    """Unrelated vectors for every view of every image, the trimmed one repeating the whole."""
    vectors = np.random.default_rng(seed).normal(size=(count, len(VIEWS), width)).astype(np.float32)
    vectors[:, TRIMMED] = vectors[:, WHOLE]
    return vectors


def found_pairs(pairs):
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def exhaustive(vectors, min_cosine):
    unit = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1, keepdims=True)
    return {tuple(pair) for pair in np.argwhere(np.triu(unit @ unit.T >= min_cosine, 1)).tolist()}


def test_candidates_among_few_images_are_searched_exhaustively():
    vectors = scenes(200)
    assert found_pairs(find_candidates(vectors, 0.6, 200)) == exhaustive(vectors, 0.6)


def test_candidates_among_many_images_are_searched_by_index_with_hardly_a_miss():
    vectors = scenes(3000, width=160, spread=0.6)
    every = found_pairs(find_candidates(vectors, 0.6, 10))
    indexed = found_pairs(find_candidates(vectors, 0.6, 10, exact_below=0))
    assert len(every) > 3000
    assert len(indexed & every) >= 0.99 * len(every)


def test_an_index_of_many_views_finds_the_pairs_that_a_comparison_of_all_finds():
    draw = np.random.default_rng(2)
    vectors = scenes(400, width=96, size=10) + 0.3 * draw.normal(size=(400, len(VIEWS), 96)).astype(np.float32)
    every = found_pairs(find_candidates(vectors, 0.6, 10, always=2))
    assert len(every) > 1000
    assert found_pairs(find_candidates(vectors, 0.6, 10, always=2, exact_below=0)) == every


@pytest.mark.parametrize("exact_below", [1000, 0], ids=["exact", "indexed"])
def test_several_threads_find_what_one_finds(exact_below):
    vectors = with_views(1100) if exact_below == 0 else with_views(300)
    vectors[::3] = vectors[1] * 2 + 0.3 * vectors[::3]
    alone = find_candidates(vectors, 0.6, 5, exact_below=exact_below)
    together = find_candidates(vectors, 0.6, 5, exact_below=exact_below, threads=3)
    assert len(alone.left) > 100
    assert found_pairs(alone) == found_pairs(together)


@pytest.mark.parametrize("exact_below", [1000, 0], ids=["exact", "indexed"])
@pytest.mark.parametrize(("asked", "stored"), [(QUARTER, WHOLE), (WHOLE, TRIMMED), (WHOLE, CENTRE), (QUARTER, CENTRE)])
def test_a_copy_is_found_through_any_pair_of_views(asked, stored, exact_below):
    vectors = with_views(300)
    vectors[250, asked] = vectors[10, stored] * 3
    found = find_candidates(vectors, 0.9, 10, exact_below=exact_below)
    assert found_pairs(found) == {(10, 250)}
    assert found.cosine[0] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("exact_below", [1000, 0], ids=["exact", "indexed"])
def test_candidate_pairs_are_sorted_unique_and_never_of_one_image(exact_below):
    found = find_candidates(scenes(600), 0.5, 5, exact_below=exact_below)
    assert (found.left < found.right).all()
    codes = found.left * 600 + found.right
    assert (np.diff(codes) > 0).all()
    assert (found.cosine >= 0.5).all()


def test_only_the_nearest_neighbours_of_either_image_are_kept():
    vectors = scenes(60, size=30, spread=0.3)
    found = find_candidates(vectors, 0.0, 3)
    pairs = len(found.left)
    assert 60 * 3 / 2 <= pairs <= 60 * 3


def test_exact_candidate_search_does_not_depend_on_image_order():
    vectors = scenes(150)
    order = np.random.default_rng(1).permutation(150)
    moved = find_candidates(vectors[order], 0.6, 5)
    back = {tuple(sorted((int(order[i]), int(order[j])))) for i, j in found_pairs(moved)}
    assert back == found_pairs(find_candidates(vectors, 0.6, 5))


def test_half_precision_vectors_are_read_as_they_are():
    vectors = scenes(150)
    assert found_pairs(find_candidates(vectors.astype(np.float16), 0.6, 5)) == found_pairs(
        find_candidates(vectors, 0.6, 5)
    )


@pytest.mark.parametrize("count", [0, 1])
def test_a_lone_image_has_no_candidates(count):
    assert len(find_candidates(with_views(count), 0.5, 10).left) == 0


def test_vectors_without_direction_have_no_candidates():
    assert len(find_candidates(np.zeros((5, 1, 8), np.float32), 0.5, 10).left) == 0


@pytest.mark.parametrize("shape", [(5, 8), (5, 3, 8)])
def test_vectors_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="vectors must be"):
        find_candidates(np.zeros(shape, np.float32), 0.5, 10)


@given(
    cosines=st.lists(st.floats(0, 1, width=32), min_size=28, max_size=28),
    known=st.sets(st.integers(0, 27)),
    neighbours=st.integers(1, 4),
    always=st.integers(0, 2),
)
def test_pairs_that_were_left_out_are_not_missed_when_others_are_added(cosines, known, neighbours, always):
    pairs = np.argwhere(np.triu(np.ones((8, 8)), 1))
    cosine = np.array(cosines, np.float32)
    first = np.isin(np.arange(28), list(known))
    every = select_pairs(pairs, cosine, 8, 0.5, neighbours, always)
    some = select_pairs(pairs[first], cosine[first], 8, 0.5, neighbours, always)
    added = np.concatenate([np.stack([some.left, some.right], axis=1), pairs[~first]])
    again = select_pairs(added, np.concatenate([some.cosine, cosine[~first]]), 8, 0.5, neighbours, always)
    assert found_pairs(again) == found_pairs(every)
