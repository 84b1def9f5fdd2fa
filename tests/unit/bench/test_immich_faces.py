"""Grouping as Immich does it, on cases worked out by hand."""

from __future__ import annotations

import numpy as np

from bench.quality.immich_faces import group


def at(*degrees: float) -> np.ndarray:
    """Unit vectors in a plane; a distance of .5 is 60 degrees."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_faces_within_the_distance_are_one_person_and_others_another() -> None:
    persons = group(at(0, 10, 20, 180, 190, 200))
    assert len({*persons[:3]}) == 1
    assert len({*persons[3:]}) == 1
    assert persons[0] != persons[3]


def test_fewer_faces_than_are_needed_begin_no_person() -> None:
    assert group(at(0, 10, 180)) == [None, None, None]
    assert group(at(0, 10, 180), least=2)[:2] != [None, None]


def test_a_face_at_the_edge_joins_the_person_whose_core_is_near_whenever_it_comes() -> None:
    first, last = group(at(55, 0, -5, -10)), group(at(0, -5, -10, 55))
    assert len({*first}) == len({*last}) == 1
    assert first[0] is not None


def test_a_chain_of_cores_is_one_person() -> None:
    assert len({*group(at(*range(0, 180, 20)))}) == 1


def test_nobody_is_grouped_over_the_distance() -> None:
    persons = group(at(0, 61, 122, 183), least=1)
    assert len({*persons}) == 4
