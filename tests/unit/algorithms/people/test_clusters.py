"""Clustering of an album's faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.speed.synthetic_faces import invent_album
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.prints import find_prints
from tests.unit.algorithms.people.test_linkage import link_by_definition, partition, some_people

OPTIONS = ClusteringOptions(cut=0.6, min_quality=0.2)
DIRECTED = ClusteringOptions(cut=0.6, group_cut=0.6, min_quality=0.2)
"""Options that compare groups by their mean directions too."""
FaceArrays = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


@st.composite
def albums(draw: st.DrawFn) -> FaceArrays:
    """Faces with twins, copies, crowded images and poor ones; distances on both sides of the cut."""
    seed = draw(st.integers(0, 10**6))
    vectors, _ = some_people(
        seed,
        draw(st.integers(1, 5)),
        draw(st.integers(1, 6)),
        draw(st.sampled_from([0.02, 0.1, 0.2, 0.4])),
        dimensions=6,
    )
    rng = np.random.default_rng(seed)
    again = rng.integers(0, len(vectors), draw(st.integers(0, 6)))
    vectors = np.concatenate([vectors, vectors[again]])
    # Each copy is in an image of its own, as when one face of a photograph is found again in a crop of it.
    pictures = np.concatenate(
        [rng.integers(0, draw(st.integers(1, 20)), len(vectors) - len(again)), 100 + np.arange(len(again))]
    )
    quality = rng.uniform(0.1, 1, len(vectors)).astype(np.float32)
    return vectors, pictures, quality


def content(labels: NDArray[np.int64], album: FaceArrays) -> list[list[bytes]]:
    """The clusters by what their faces hold: equal faces are interchangeable."""
    vectors, pictures, _ = album
    keys = [vectors[i].tobytes() + bytes(str(pictures[i]), "ascii") for i in range(len(vectors))]
    return sorted(sorted(keys[index] for index in cluster) for cluster in partition(labels))


@settings(max_examples=80, deadline=None)
@given(album=albums(), order=st.randoms(use_true_random=False), grouping=st.sampled_from([OPTIONS, DIRECTED]))
def test_the_order_of_the_faces_changes_neither_people_nor_their_numbers(
    album: FaceArrays, order: np.random.Generator, grouping: ClusteringOptions
) -> None:
    shuffled = list(range(len(album[0])))
    order.shuffle(shuffled)
    mixed = tuple(column[shuffled] for column in album)
    labels, again = group_faces(*album, grouping), group_faces(*mixed, grouping)
    assert content(labels, album) == content(again, mixed)
    assert np.array_equal(np.sort(labels), np.sort(again))


def test_a_large_album_is_grouped_alike_in_any_order() -> None:
    album = invent_album(6000, seed=4)
    shuffled = np.random.default_rng(0).permutation(6000)
    labels = group_faces(album.vectors, album.pictures, album.quality, ClusteringOptions())
    again = group_faces(album.vectors[shuffled], album.pictures[shuffled], album.quality[shuffled], ClusteringOptions())
    assert np.array_equal(labels[shuffled], again)


def photographs(album: FaceArrays, faces: frozenset[int]) -> NDArray[np.int64]:
    """The faces without the further prints of a photograph in its own image."""
    rows = np.array(sorted(faces))
    return rows[np.unique(find_prints(album[0], rows, album[1][rows], OPTIONS.cut))]


@settings(max_examples=80, deadline=None)
@given(album=albums())
def test_two_faces_of_one_image_are_one_person_only_as_prints_of_one_photograph(album: FaceArrays) -> None:
    usable = np.flatnonzero(album[2] >= OPTIONS.min_quality)
    stands = usable[find_prints(album[0], usable, album[1][usable], OPTIONS.cut)]
    photograph = dict(zip(usable.tolist(), stands.tolist(), strict=True))
    for cluster in partition(group_faces(*album, OPTIONS)):
        shown = {photograph[face] for face in cluster}
        assert len({int(album[1][face]) for face in shown}) == len(shown)


@settings(max_examples=40, deadline=None)
@given(album=albums())
def test_people_of_more_than_one_face_stay_within_the_cut(album: FaceArrays) -> None:
    labels = group_faces(*album, OPTIONS)
    for cluster in partition(labels):
        faces = photographs(album, cluster)
        mean = album[0][faces].astype(np.float64).mean(axis=0)
        # The last merge was at most at the cut, every earlier one below: so is the mean over all pairs.
        size = len(faces)
        pairs = size * (size - 1) or 1
        assert 2 * size**2 * (1 - mean @ mean) / pairs <= OPTIONS.cut**2 * (1 + 1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), people=st.integers(1, 8), faces=st.integers(1, 8))
def test_people_far_apart_are_found_whatever_their_number(seed: int, people: int, faces: int) -> None:
    # Forty dimensions hold eight random directions well over the cut apart.
    vectors, owner = some_people(seed, people, faces, spread=0.01, dimensions=40)
    labels = group_faces(vectors, np.arange(len(vectors)), np.ones(len(vectors), np.float32), OPTIONS)
    assert partition(labels) == partition(owner)


@settings(max_examples=40, deadline=None)
@given(album=albums())
def test_poor_faces_belong_to_no_person_and_change_nothing(album: FaceArrays) -> None:
    labels = group_faces(*album, OPTIONS)
    good = album[2] >= OPTIONS.min_quality
    assert np.array_equal(labels >= 0, good)
    without = tuple(column[good] for column in album)
    assert np.array_equal(labels[good], group_faces(*without, OPTIONS))


@pytest.mark.parametrize("apart", [0.0, 0.03])
def test_a_sheet_of_prints_is_one_person_and_tears_no_other_pictures_apart(apart: float) -> None:
    vectors, _ = some_people(3, people=1, faces=21, spread=0.04, dimensions=40)
    rng = np.random.default_rng(0)
    sheet = vectors[20] + apart * rng.standard_normal((8, 40)).astype(np.float32) / np.sqrt(40).astype(np.float32)
    album = np.concatenate([vectors[:20], sheet])
    pictures = np.concatenate([np.arange(20), np.full(8, 20)])
    assert not group_faces(album, pictures, np.ones(28, np.float32), OPTIONS).any()


def test_a_sheet_of_two_peoples_prints_keeps_the_two_apart() -> None:
    vectors, owner = some_people(4, people=2, faces=5, spread=0.01, dimensions=40)
    vectors = np.concatenate([vectors, np.repeat(vectors[[0, 5]], 3, axis=0)])
    owner = np.concatenate([owner, np.repeat([0, 1], 3)])
    pictures = np.concatenate([np.arange(10), np.full(6, 10)])
    assert partition(group_faces(vectors, pictures, np.ones(16, np.float32), OPTIONS)) == partition(owner)


def test_twins_in_one_image_stay_two_people_through_the_whole_album() -> None:
    rng = np.random.default_rng(0)
    twins, _ = some_people(0, people=1, faces=2, spread=0.06, dimensions=64)
    vectors = np.repeat(twins, 10, axis=0) + 0.02 * rng.standard_normal((20, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    pictures = np.tile(np.arange(10), 2)
    labels = group_faces(vectors, pictures, np.ones(20, np.float32), OPTIONS)
    assert partition(labels) == {frozenset(range(10)), frozenset(range(10, 20))}


def test_one_face_between_two_people_does_not_unite_them() -> None:
    base = np.zeros((3, 32))
    base[0, 0] = base[1, 1] = 1
    base[2, :2] = np.sqrt(0.5)
    rng = np.random.default_rng(0)
    vectors = np.repeat(base, [8, 8, 1], axis=0) + 0.03 * rng.standard_normal((17, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    cut = 0.9
    assert (np.linalg.norm(vectors[:16] - vectors[16], axis=1) < cut).all(), "the bridge reaches both"
    labels = group_faces(vectors, np.arange(17), np.ones(17, np.float32), ClusteringOptions(cut=cut))
    assert labels[0] != labels[8]
    assert len(set(labels[:8].tolist())) == len(set(labels[8:16].tolist())) == 1


def test_a_photograph_uploaded_twice_gives_the_same_people_twice() -> None:
    vectors, owner = some_people(5, people=3, faces=1)
    pictures = np.array([1, 1, 1, 2, 2, 2])
    labels = group_faces(np.tile(vectors, (2, 1)), pictures, np.ones(6, np.float32), OPTIONS)
    assert partition(labels) == partition(np.tile(owner, 2))


def test_thousands_of_copies_are_one_person_at_once() -> None:
    vectors, _ = some_people(6, people=1, faces=1)
    labels = group_faces(np.repeat(vectors, 5000, axis=0), np.arange(5000), np.ones(5000, np.float32), OPTIONS)
    assert not labels.any()


def test_people_are_numbered_by_how_often_they_appear() -> None:
    vectors, owner = some_people(7, people=3, faces=9, spread=0.01, dimensions=40)
    chosen = np.concatenate([np.flatnonzero(owner == person)[:count] for person, count in ((0, 2), (1, 9), (2, 5))])
    labels = group_faces(vectors[chosen], np.arange(16), np.ones(16, np.float32), OPTIONS)
    assert labels.tolist() == [2] * 2 + [0] * 9 + [1] * 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 1e38])
def test_a_face_vector_without_direction_belongs_to_no_person_and_harms_none(bad: float) -> None:
    vectors, owner = some_people(8, people=2, faces=3, spread=0.01, dimensions=40)
    broken = np.concatenate([vectors, np.full((1, 40), bad, np.float32)])
    labels = group_faces(broken, np.arange(7), np.ones(7, np.float32), OPTIONS)
    assert labels[6] == -1
    assert partition(labels[:6]) == partition(owner)


def test_a_face_whose_quality_is_no_number_belongs_to_no_person() -> None:
    vectors, _ = some_people(9, people=1, faces=2)
    assert group_faces(vectors, np.arange(2), np.array([1, np.nan], np.float32), OPTIONS).tolist() == [0, -1]


def test_lengths_of_face_vectors_do_not_matter() -> None:
    vectors, owner = some_people(10, people=3, faces=4, spread=0.01, dimensions=40)
    scale = np.random.default_rng(0).uniform(0.5, 30, (12, 1)).astype(np.float32)
    assert partition(group_faces(vectors * scale, np.arange(12), np.ones(12, np.float32), OPTIONS)) == partition(owner)


def test_an_empty_album_has_no_people() -> None:
    nothing = group_faces(np.zeros((0, 8), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32), OPTIONS)
    assert nothing.shape == (0,)
    assert nothing.dtype == np.int64


def test_face_arrays_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        group_faces(np.zeros((2, 8), np.float32), np.zeros(1, np.int64), np.zeros(2, np.float32), OPTIONS)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.1, 0.2, 0.3]), images=st.integers(3, 20))
def test_groups_are_linked_once_more_by_their_mean_directions(seed: int, spread: float, images: int) -> None:
    vectors, _ = some_people(seed, people=3, faces=5, spread=spread, dimensions=6)
    pictures = np.random.default_rng(seed).integers(0, images, len(vectors))
    # Prints of one photograph are a matter of their own.
    assume(np.array_equal(find_prints(vectors, np.arange(15), pictures, 0.6), np.arange(15)))
    first = [sorted(group) for group in link_by_definition(vectors, pictures.tolist(), 0.6)]
    means = np.stack([vectors[group].astype(np.float64).mean(axis=0) for group in first])
    directions = means / np.linalg.norm(means, axis=1, keepdims=True)
    groups = link_weighted(directions, [len(group) for group in first], [set(pictures[g].tolist()) for g in first], 0.5)
    expected = {frozenset(face for place in group for face in first[place]) for group in groups}
    grouping = ClusteringOptions(cut=0.6, group_cut=0.5, min_quality=0.0)
    assert partition(group_faces(vectors, pictures, np.ones(15, np.float32), grouping)) == expected


def link_weighted(
    directions: NDArray[np.float64], faces: list[int], held: list[set[int]], cut: float
) -> list[list[int]]:
    """Merge groups of groups at the least mean squared distance of their directions, each counted as its faces."""
    clusters = [[place] for place in range(len(directions))]

    def mean(cluster: list[int]) -> NDArray[np.float64]:
        return np.average(directions[cluster], axis=0, weights=[faces[place] for place in cluster])

    def images(cluster: list[int]) -> set[int]:
        return set().union(*(held[place] for place in cluster))

    while True:
        near = [
            (2 - 2 * float(mean(a) @ mean(b)), i, j)
            for i, a in enumerate(clusters)
            for j, b in enumerate(clusters[:i])
            if not images(a) & images(b)
        ]
        if not near or min(near)[0] > cut**2:
            return clusters
        _, i, j = min(near)
        clusters[j] += clusters.pop(i)


def test_a_face_too_far_from_its_persons_faces_joins_by_their_direction() -> None:
    axes = np.eye(8, dtype=np.float32)
    # Five faces about one direction, each off it by its own way, and one on the other side of it.
    person = np.stack([axes[0] + 0.6 * axis for axis in axes[1:6]] + [axes[0] * 0.5 + 0.75 * axes[7]])
    vectors = (person / np.linalg.norm(person, axis=1, keepdims=True)).astype(np.float32)
    album = vectors, np.arange(6), np.ones(6, np.float32)
    assert partition(group_faces(*album, ClusteringOptions(cut=1.0))) == {frozenset(range(5)), frozenset({5})}
    assert partition(group_faces(*album, ClusteringOptions(cut=1.0, group_cut=1.0))) == {frozenset(range(6))}
