"""Labels that persons keep when their album is grouped again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deployments.algorithms.people.label_matching import (
    carry_labels,
    continue_labels,
    number_by_first_face,
    settle_labels,
)
from deployments.contracts.albums import UNKNOWN


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    """The clusters as sets of faces."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels[labels >= 0])}


LABELS = arrays(np.int64, 20, elements=st.integers(-2, 5))


@given(old=LABELS, new=LABELS)
def test_carried_labels_keep_the_partition(old: np.ndarray, new: np.ndarray) -> None:
    carried = carry_labels(old, new)
    assert partition(carried) == partition(new)
    assert np.array_equal(carried < 0, new < 0)


@given(old=LABELS, new=LABELS)
def test_an_unchanged_cluster_keeps_its_label(old: np.ndarray, new: np.ndarray) -> None:
    carried = carry_labels(old, new)
    for cluster in partition(old) & partition(new):
        rows = sorted(cluster)
        assert np.array_equal(carried[rows], old[rows])


@given(old=LABELS, new=LABELS)
def test_a_label_is_carried_only_by_a_cluster_that_holds_a_face_of_it(old: np.ndarray, new: np.ndarray) -> None:
    carried = carry_labels(old, new)
    for label in set(carried[carried >= 0].tolist()):
        assert label > old.max(initial=-1) or (old[carried == label] == label).any()


@given(old=LABELS, new=LABELS)
def test_a_label_goes_to_the_largest_part_unless_that_had_a_larger(old: np.ndarray, new: np.ndarray) -> None:
    carried = carry_labels(old, new)
    for label in set(old[old >= 0].tolist()):
        parts = {
            c: int(np.sum((old == label) & (carried == c)))
            for c in set(carried[(old == label) & (carried >= 0)].tolist())
        }
        for cluster, shared in parts.items():
            if shared > parts.get(label, 0):
                # It had a face in common with the label it took at least as often.
                assert np.sum((old == cluster) & (carried == cluster)) >= shared


def test_new_clusters_are_numbered_on_in_their_order() -> None:
    assert carry_labels(np.array([8, 8, -2, -2]), np.array([1, 1, 0, 3])).tolist() == [8, 8, 9, 10]
    assert carry_labels(np.array([8, 8, -2]), np.array([1, 1, 0]), highest=20).tolist() == [8, 8, 21]


def test_a_tie_goes_to_the_older_person_and_then_to_the_first_cluster() -> None:
    assert carry_labels(np.array([3, 3, 1, 1]), np.array([0, 0, 0, 0])).tolist() == [1, 1, 1, 1]
    assert carry_labels(np.array([4, 4, 4, 4]), np.array([1, 1, 0, 0])).tolist() == [5, 5, 4, 4]


@given(old=LABELS, new=LABELS, renamed=st.permutations(range(6)))
def test_labels_do_not_depend_on_how_clusters_are_numbered(
    old: np.ndarray, new: np.ndarray, renamed: list[int]
) -> None:
    other = np.array([renamed[cluster] if cluster >= 0 else -1 for cluster in new.tolist()], np.int64)
    assert np.array_equal(number_by_first_face(new), number_by_first_face(other))
    first, second = (carry_labels(old, number_by_first_face(clusters)) for clusters in (new, other))
    assert np.array_equal(first, second)


@given(labels=arrays(np.int64, 30, elements=st.integers(0, 4)), renamed=st.permutations(range(5)))
def test_an_equal_grouping_under_other_numbers_changes_no_person(labels: np.ndarray, renamed: list[int]) -> None:
    clusters = np.array([renamed[label] for label in labels.tolist()], np.int64)
    assert np.array_equal(carry_labels(labels, number_by_first_face(clusters)), labels)


@given(old=LABELS, new=LABELS, highest=st.integers(-1, 9))
def test_matching_only_clusters_that_differ_labels_like_matching_all(
    old: np.ndarray, new: np.ndarray, highest: int
) -> None:
    expected = carry_labels(old, number_by_first_face(new), highest)
    assert np.array_equal(continue_labels(old, new, highest), expected)


@given(labels=arrays(np.int64, 30, elements=st.integers(-2, 4)), added=st.integers(-1, 6))
def test_a_face_more_changes_the_label_of_no_other(labels: np.ndarray, added: int) -> None:
    old, new = np.append(labels, -2), np.append(labels, added)
    assert np.array_equal(continue_labels(old, new)[:-1], np.maximum(labels, -1))


EVA, BOB = 3, 5


def _places(*places: int) -> np.ndarray:
    return np.array(places, np.int64)


def test_a_name_does_not_follow_a_face_that_was_given_to_somebody_else() -> None:
    held = labels = np.full(8, BOB)
    settled = settle_labels(labels, held, [(BOB, _places(1)), (EVA, _places(0))], 9)
    assert settled.tolist() == labels.tolist()


def test_a_name_comes_back_with_its_faces() -> None:
    held = _places(UNKNOWN, UNKNOWN, BOB, BOB)
    labels = _places(7, 7, BOB, BOB)
    assert settle_labels(labels, held, [(EVA, _places(0, 1))], 9).tolist() == [EVA, EVA, BOB, BOB]


def test_of_a_person_that_falls_apart_the_most_of_anchors_and_faces_keep_the_name() -> None:
    held = np.full(9, EVA)
    labels = _places(7, 7, 7, 7, 7, 7, EVA, EVA, EVA)
    settled = settle_labels(labels, held, [(EVA, _places(6, 7))], 9)
    assert settled.tolist() == 6 * [EVA] + 3 * [7]


def test_of_two_people_in_one_cluster_that_of_more_faces_is_it_and_the_other_is_nowhere() -> None:
    held = _places(EVA, BOB, BOB, BOB, UNKNOWN)
    for decided in ([(EVA, _places(0)), (BOB, _places(1))], [(BOB, _places(1)), (EVA, _places(0))]):
        assert settle_labels(np.full(5, EVA), held, decided, 9).tolist() == 5 * [BOB]


def test_no_cluster_is_named_after_a_person_of_whom_it_has_nothing() -> None:
    held = _places(EVA, EVA, EVA, BOB, BOB, EVA)
    labels = _places(BOB, BOB, BOB, BOB, BOB, EVA)
    settled = settle_labels(labels, held, [(EVA, _places(0)), (BOB, _places(3))], 9)
    assert settled.tolist() == 5 * [EVA] + [10]
