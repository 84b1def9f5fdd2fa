"""Prints of one photograph in one image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.people.prints import PRINT_SHARE, find_prints
from tests.unit.algorithms.people.test_linkage import some_people

CUT = 0.6


def test_prints_are_sought_in_one_image_only() -> None:
    vectors, _ = some_people(0, people=1, faces=1)
    stands = find_prints(np.repeat(vectors, 4, axis=0), np.arange(4), np.array([1, 2, 1, 2]), CUT)
    assert stands[0] == stands[2] != stands[1] == stands[3]


def test_no_faces_have_no_prints() -> None:
    assert not len(find_prints(np.zeros((0, 8), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64), CUT))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.01, 0.04, 0.1]), scale=st.floats(0.5, 20))
def test_each_face_is_near_the_one_that_stands_for_it_in_any_order(seed: int, spread: float, scale: float) -> None:
    vectors, _ = some_people(seed, people=3, faces=5, spread=spread, dimensions=6)
    pictures = np.random.default_rng(seed).integers(0, 3, len(vectors))
    stands = find_prints(vectors * np.float32(scale), np.arange(len(vectors)), pictures, CUT)
    assert np.array_equal(stands[stands], stands)
    assert np.array_equal(pictures[stands], pictures)
    assert (np.linalg.norm(vectors - vectors[stands], axis=1) <= PRINT_SHARE * CUT + 1e-3).all()
    alone = np.unique(stands)
    for face in alone:
        others = alone[(pictures[alone] == pictures[face]) & (alone != face)]
        assert (np.linalg.norm(vectors[others] - vectors[face], axis=1) > PRINT_SHARE * CUT - 1e-3).all()
    order = np.random.default_rng(seed + 1).permutation(len(vectors))
    mixed = find_prints(vectors[order] * np.float32(scale), np.arange(len(vectors)), pictures[order], CUT)
    assert np.array_equal(order[mixed], stands[order])
