"""Incremental clustering of faces added to a grouped album."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.speed.synthetic_faces import invent_album
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.incremental import add_faces
from deployments.contracts.albums import UNKNOWN
from tests.unit.algorithms.people.test_clusters import DIRECTED, OPTIONS, FaceArrays, albums, photographs
from tests.unit.algorithms.people.test_linkage import partition, some_people

LOCAL = ClusteringOptions(cut=0.6, min_quality=0.2, exact_faces=0)
"""Updates like those of an album too large for exact ones."""


def split(album: FaceArrays, seed: int, share: float) -> np.ndarray:
    """Which faces are new."""
    return np.random.default_rng(seed).uniform(size=len(album[0])) < share


@settings(max_examples=100, deadline=None)
@given(
    album=albums(),
    seed=st.integers(0, 1000),
    share=st.floats(0, 1),
    grouping=st.sampled_from([OPTIONS, DIRECTED]),
)
def test_adding_faces_equals_grouping_anew(
    album: FaceArrays, seed: int, share: float, grouping: ClusteringOptions
) -> None:
    album = distinct(album)
    new = split(album, seed, share)
    labels = np.full(len(new), UNKNOWN)
    labels[~new] = group_faces(*(column[~new] for column in album), grouping)
    assert partition(add_faces(*album, labels, grouping)) == partition(group_faces(*album, grouping))


@settings(max_examples=100, deadline=None)
@given(album=albums(), seed=st.integers(0, 1000), grouping=st.sampled_from([OPTIONS, LOCAL]))
def test_added_faces_of_one_image_are_never_one_person(
    album: FaceArrays, seed: int, grouping: ClusteringOptions
) -> None:
    # Labels of an earlier call may be wrong, even put two faces of one image together.
    previous = np.random.default_rng(seed).integers(-2, 4, len(album[0]))
    for cluster in partition(add_faces(*album, previous, grouping)):
        held = album[1][photographs(album, cluster)]
        assert len(set(held.tolist())) == len(held)


@pytest.mark.parametrize("grouping", [OPTIONS, LOCAL])
def test_a_sheet_of_prints_joins_its_person_as_a_whole(grouping: ClusteringOptions) -> None:
    vectors, _ = some_people(5, people=1, faces=4, spread=0.02, dimensions=40)
    album = np.concatenate([vectors, np.repeat(vectors[:1], 6, axis=0)])
    pictures = np.concatenate([np.arange(4), np.full(6, 4)])
    previous = np.array([7] * 4 + [UNKNOWN] * 6)
    added = add_faces(album, pictures, np.ones(10, np.float32), previous, grouping)
    assert added.tolist() == [7] * 10
    again = add_faces(album, pictures, np.ones(10, np.float32), added, grouping)
    assert again.tolist() == [7] * 10, "such a person is no mistake to be dissolved"


@settings(max_examples=60, deadline=None)
@given(album=albums(), seed=st.integers(0, 1000), grouping=st.sampled_from([OPTIONS, LOCAL]))
def test_incremental_clustering_does_not_depend_on_face_order(
    album: FaceArrays, seed: int, grouping: ClusteringOptions
) -> None:
    album = distinct(album)
    previous = np.where(split(album, seed, 0.4), UNKNOWN, group_faces(*album, OPTIONS))
    order = np.random.default_rng(seed).permutation(len(previous))
    labels = add_faces(*album, previous, grouping)
    mixed = (album[0][order], album[1][order], album[2][order])
    assert np.array_equal(labels[order], add_faces(*mixed, previous[order], grouping))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), grouping=st.sampled_from([OPTIONS, LOCAL]))
def test_people_far_from_the_new_face_keep_label_and_faces(seed: int, grouping: ClusteringOptions) -> None:
    vectors, owner = some_people(seed, people=6, faces=4, spread=0.02, dimensions=40)
    # Numbers as after years of additions, and a person whom a user has put together from two.
    previous = np.array([70, 3, 70, 12, 5, 90])[owner]
    previous[-1] = UNKNOWN
    labels = add_faces(vectors, np.arange(24), np.ones(24, np.float32), previous, grouping)
    assert labels.tolist() == [*previous[:-1].tolist(), 90]


@pytest.mark.parametrize("grouping", [OPTIONS, LOCAL])
def test_an_added_stranger_gets_a_number_above_all_others(grouping: ClusteringOptions) -> None:
    vectors, owner = some_people(1, people=3, faces=3, spread=0.02, dimensions=40)
    previous = np.where(owner == 2, UNKNOWN, owner + 7)
    labels = add_faces(vectors, np.arange(9), np.ones(9, np.float32), previous, grouping)
    assert labels.tolist() == [7] * 3 + [8] * 3 + [9] * 3


@pytest.mark.parametrize("grouping", [OPTIONS, LOCAL])
def test_a_face_that_unites_two_halves_of_a_person_keeps_the_larger_half_s_number(grouping: ClusteringOptions) -> None:
    def at(degrees: float) -> list[float]:
        return [np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]

    # 0 and 36 degrees are .62 apart, over the cut of .6; a face at 18 degrees joins the two.
    vectors = np.array([at(0), at(0.1), at(36), at(18), at(18.1)], np.float32)
    quality = np.ones(5, np.float32)
    apart = group_faces(vectors[:3], np.arange(3), quality[:3], grouping)
    assert apart.tolist() == [0, 0, 1]
    previous = np.array([4, 4, 9, UNKNOWN, UNKNOWN])
    assert set(add_faces(vectors, np.arange(5), quality, previous, grouping).tolist()) == {4}


@pytest.mark.parametrize("grouping", [OPTIONS, LOCAL])
def test_a_face_that_became_too_poor_leaves_its_person_and_no_other_face_moves(grouping: ClusteringOptions) -> None:
    vectors, owner = some_people(2, people=2, faces=4, spread=0.02, dimensions=40)
    quality = np.ones(8, np.float32)
    quality[0] = 0.1
    labels = add_faces(vectors, np.arange(8), quality, owner + 3, grouping)
    assert labels.tolist() == [-1, 3, 3, 3, 4, 4, 4, 4]


def test_adding_faces_without_earlier_people_is_grouping() -> None:
    vectors, owner = some_people(3, people=2, faces=4, spread=0.02, dimensions=40)
    labels = add_faces(vectors, np.arange(8), np.ones(8, np.float32), np.full(8, UNKNOWN), OPTIONS)
    assert partition(labels) == partition(owner)


def test_an_album_grown_little_by_little_is_as_good_as_one_grouped_at_once() -> None:
    album = invent_album(1500, seed=2)
    grouping = ClusteringOptions(exact_faces=0)
    labels = np.full(1500, UNKNOWN)
    for end in range(100, 1501, 100):
        labels[:end] = add_faces(album.vectors[:end], album.pictures[:end], album.quality[:end], labels[:end], grouping)
    at_once = group_faces(album.vectors, album.pictures, album.quality, grouping)
    assert pair_f(labels, album.people) > pair_f(at_once, album.people) - 0.01


def test_previous_labels_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        add_faces(
            np.zeros((2, 8), np.float32),
            np.zeros(2, np.int64),
            np.zeros(2, np.float32),
            np.zeros(1, np.int64),
            OPTIONS,
        )


def distinct(album: FaceArrays) -> FaceArrays:
    """The album with every vector moved a little: which of several equal faces merges first is nobody's promise."""
    rng = np.random.default_rng(0)
    moved = album[0] + 0.01 * rng.standard_normal(album[0].shape)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32), album[1], album[2]


def pair_f(labels: np.ndarray, people: np.ndarray) -> float:
    """F of the pairs put together, faces of nobody left out."""
    kept = labels >= 0
    same = labels[kept][:, None] == labels[kept]
    true = people[kept][:, None] == people[kept]
    np.fill_diagonal(same, False)
    np.fill_diagonal(true, False)
    return float(2 * (same & true).sum() / (same.sum() + true.sum()))
