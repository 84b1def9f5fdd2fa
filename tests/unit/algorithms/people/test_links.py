"""Links of users hold in every grouping: anew and incremental, of any size, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.incremental import add_faces
from deployments.algorithms.people.links import Links, find_chain, find_contradiction, no_links
from deployments.algorithms.people.prints import find_prints
from deployments.contracts.albums import UNKNOWN
from tests.unit.algorithms.people.test_clusters import DIRECTED, OPTIONS, FaceArrays, albums
from tests.unit.algorithms.people.test_incremental import LOCAL
from tests.unit.algorithms.people.test_linkage import partition, some_people

Pair = tuple[int, int]


@dataclass(frozen=True)
class Album:
    """Faces with links that do not contradict each other."""

    faces: FaceArrays
    must: list[Pair]
    cannot: list[Pair]

    def only(self, rows: list[int]) -> Album:
        """The same with some of the faces, in this order."""
        place = {row: index for index, row in enumerate(rows)}
        vectors, pictures, quality = self.faces
        kept = [
            [(place[one], place[other]) for one, other in pairs if one in place and other in place]
            for pairs in (self.must, self.cannot)
        ]
        return Album((vectors[rows], pictures[rows], quality[rows]), *kept)

    @property
    def links(self) -> Links:
        return links_of(len(self.faces[0]), self.must, self.cannot)


def links_of(count: int, must: list[Pair], cannot: list[Pair] = []) -> Links:  # noqa: B006
    return Links(count, *(np.array(pairs, np.int64).reshape(-1, 2) for pairs in (must, cannot)))


@st.composite
def linked_albums(draw: st.DrawFn) -> Album:
    faces = draw(albums())
    one = st.integers(0, len(faces[0]) - 1)
    must: list[Pair] = []
    cannot: list[Pair] = []
    for pair, is_must in draw(st.lists(st.tuples(st.tuples(one, one), st.booleans()), max_size=8)):
        (must if is_must else cannot).append(pair)
        if find_contradiction(must, cannot):
            (must if is_must else cannot).pop()
    return Album(faces, must, cannot)


def assert_links_hold(labels: NDArray[np.int64], album: Album) -> None:
    for one, other in album.must:
        has_direction = np.linalg.norm(album.faces[0][one]) > 0
        assert labels[one] == labels[other]
        assert labels[one] >= 0 or not has_direction
    for one, other in album.cannot:
        assert labels[one] == -1 if one == other else labels[one] != labels[other] or labels[one] == -1
    bound = {face for pair in album.must for face in pair}
    vectors, pictures, _ = album.faces
    for cluster in partition(labels):
        rows = np.array(sorted(cluster))
        stands = rows[find_prints(vectors, rows, pictures[rows], OPTIONS.cut)]
        prints = list(zip(rows.tolist(), stands.tolist(), strict=True))
        bound_too = {one for pair in prints if bound.intersection(pair) for one in pair}  # as a print of a bound one
        shown = {stand for row, stand in prints if not {row, stand} & bound_too}
        held = [int(pictures[stand]) for stand in shown]
        assert len(set(held)) == len(held), "two faces of one image that nothing binds"


@settings(max_examples=150, deadline=None)
@given(album=linked_albums(), grouping=st.sampled_from([OPTIONS, DIRECTED]))
def test_links_hold_in_a_grouping_anew(album: Album, grouping: ClusteringOptions) -> None:
    assert_links_hold(group_faces(*album.faces, grouping, album.links), album)


@settings(max_examples=150, deadline=None)
@given(album=linked_albums(), seed=st.integers(0, 1000), grouping=st.sampled_from([OPTIONS, DIRECTED, LOCAL]))
def test_links_hold_whatever_the_labels_of_an_earlier_call(
    album: Album, seed: int, grouping: ClusteringOptions
) -> None:
    previous = np.random.default_rng(seed).integers(-2, 4, len(album.faces[0]))
    assert_links_hold(add_faces(*album.faces, previous, grouping, album.links), album)


@settings(max_examples=80, deadline=None)
@given(album=linked_albums(), data=st.data(), grouping=st.sampled_from([OPTIONS, LOCAL]))
def test_links_hold_while_faces_come_and_go_and_links_are_made_and_taken_back(
    album: Album, data: st.DataObject, grouping: ClusteringOptions
) -> None:
    everyone = range(len(album.faces[0]))
    labels = np.full(len(everyone), UNKNOWN)
    for _ in range(data.draw(st.integers(1, 4))):
        present = data.draw(st.lists(st.sampled_from(everyone), unique=True, min_size=1))
        must = [pair for pair in album.must if data.draw(st.booleans())]
        now = Album(album.faces, must, album.cannot).only(present)
        anew = data.draw(st.booleans())
        found = (
            group_faces(*now.faces, grouping, now.links)
            if anew
            else add_faces(*now.faces, labels[present], grouping, now.links)
        )
        assert_links_hold(found, now)
        labels = np.full(len(everyone), UNKNOWN)
        labels[present] = found


@settings(max_examples=60, deadline=None)
@given(album=linked_albums(), order=st.randoms(use_true_random=False))
def test_the_order_of_the_faces_does_not_decide_who_is_one_person(album: Album, order: np.random.Generator) -> None:
    # Of equal faces links tell one from another, which their contents do not.
    vectors, pictures, quality = album.faces
    vectors = vectors + 1e-3 * np.random.default_rng(0).standard_normal(vectors.shape).astype(np.float32)
    album = Album((vectors, pictures, quality), album.must, album.cannot)
    rows = list(range(len(vectors)))
    order.shuffle(rows)
    mixed = album.only(rows)
    found = partition(group_faces(*mixed.faces, OPTIONS, mixed.links))
    assert {frozenset(rows[face] for face in cluster) for cluster in found} == partition(
        group_faces(*album.faces, OPTIONS, album.links)
    )


@settings(max_examples=60, deadline=None)
@given(album=albums(), grouping=st.sampled_from([OPTIONS, DIRECTED]))
def test_without_links_nothing_changes(album: FaceArrays, grouping: ClusteringOptions) -> None:
    said = group_faces(*album, grouping, no_links(len(album[0])))
    assert said.tolist() == group_faces(*album, grouping).tolist()


@pytest.mark.parametrize("grouping", [OPTIONS, LOCAL])
def test_a_face_that_is_bound_to_a_person_leaves_its_own_and_tears_nobody_apart(grouping: ClusteringOptions) -> None:
    vectors, owner = some_people(0, people=2, faces=6, spread=0.02, dimensions=40)
    # The user says that the first face of one is the other person, and not who it was taken for.
    links = links_of(12, [(0, 6)], [(0, 1)])
    expected = {frozenset(range(1, 6)), frozenset({0, *range(6, 12)})}
    faces = vectors, np.arange(12), np.ones(12, np.float32)
    assert partition(group_faces(*faces, grouping, links)) == expected
    assert partition(add_faces(*faces, owner, grouping, links)) == expected


def test_two_people_who_are_said_to_be_one_keep_the_label_of_the_larger() -> None:
    vectors, owner = some_people(0, people=2, faces=6, spread=0.02, dimensions=40)
    labels = add_faces(
        vectors[1:], np.arange(11), np.ones(11, np.float32), owner[1:] + 5, OPTIONS, links_of(11, [(0, 9)])
    )
    assert labels.tolist() == [6] * 11


def test_people_in_one_image_are_one_person_where_the_user_says_so() -> None:
    vectors, _ = some_people(0, people=2, faces=1, spread=0.02, dimensions=40)
    faces = vectors, np.zeros(2, np.int64), np.ones(2, np.float32)
    assert group_faces(*faces, OPTIONS).tolist() != [0, 0]
    assert group_faces(*faces, OPTIONS, links_of(2, [(0, 1)])).tolist() == [0, 0]


def test_prints_of_one_photograph_are_apart_where_the_user_says_so() -> None:
    vectors, _ = some_people(0, people=1, faces=1, spread=0.02, dimensions=40)
    faces = np.repeat(vectors, 2, axis=0), np.zeros(2, np.int64), np.ones(2, np.float32)
    assert group_faces(*faces, OPTIONS).tolist() == [0, 0]
    labels = group_faces(*faces, OPTIONS, links_of(2, [], [(0, 1)]))
    assert sorted(labels.tolist()) == [0, 1]


def test_a_poor_face_is_somebodys_where_the_user_says_so_and_keeps_its_label() -> None:
    vectors, _ = some_people(0, people=1, faces=4, spread=0.02, dimensions=40)
    quality = np.array([1, 1, 0.1, 0.1], np.float32)
    links = links_of(4, [(2, 2), (3, 0)])
    labels = group_faces(vectors, np.arange(4), quality, OPTIONS, links)
    assert labels.tolist() == [0, 0, 1, 0]
    again = add_faces(vectors, np.arange(4), quality, np.array([5, 5, 9, 5]), OPTIONS, links)
    assert again.tolist() == [5, 5, 9, 5]


@pytest.mark.parametrize(("must", "cannot"), [([(0, 1), (1, 2)], [(2, 0)]), ([(0, 1)], [(1, 1)]), ([(0, 0)], [(0, 0)])])
def test_links_that_contradict_each_other_are_refused(must: list[Pair], cannot: list[Pair]) -> None:
    vectors, _ = some_people(0, people=1, faces=3)
    assert find_contradiction(must, cannot)
    with pytest.raises(ValueError, match="contradict"):
        group_faces(vectors, np.arange(3), np.ones(3, np.float32), OPTIONS, links_of(3, must, cannot))


@pytest.mark.parametrize("pairs", [[(0, 3)], [(-1, 0)]])
def test_links_of_faces_that_are_not_there_are_refused(pairs: list[Pair]) -> None:
    with pytest.raises(ValueError, match="indices"):
        links_of(3, pairs)


def test_a_contradiction_is_shown_as_the_shortest_chain() -> None:
    must = [("a", "b"), ("b", "c"), ("c", "d"), ("b", "d"), ("x", "y")]
    assert find_contradiction(must, [("a", "x"), ("d", "a")]) in (["d", "b", "a"], ["a", "b", "d"])
    assert find_contradiction(must, [("a", "x")]) is None
    assert find_contradiction(must, [("y", "y")]) in (["x", "y"], ["y", "x"])
    assert find_chain(must, "a", "a") == ["a"]


def one_person(count: int, spread: float = 0.02) -> FaceArrays:
    vectors, _ = some_people(3, people=1, faces=count, spread=spread, dimensions=40)
    return vectors, np.arange(count), np.ones(count, np.float32)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(20, 36),
    moved=st.integers(2, 7),
    seed=st.integers(0, 50),
    grouping=st.sampled_from([OPTIONS, LOCAL]),
)
def test_a_split_of_several_faces_stays_split_when_pictures_come(
    count: int, moved: int, seed: int, grouping: ClusteringOptions
) -> None:
    faces = one_person(count)
    out = np.random.default_rng(seed).permutation(count - 1)  # the last face is new
    split, staying = out[:moved].tolist(), out[moved:].tolist()
    must = [(split[0], one) for one in split[1:]]
    cannot = [(split[0], one) for one in staying[:3]]
    previous = np.full(count, UNKNOWN)
    previous[staying], previous[split] = 4, 9
    labels = add_faces(*faces, previous, grouping, links_of(count, must, cannot))
    assert set(labels[split].tolist()) == {9}
    assert set(labels[staying].tolist()) == {4}
    anew = group_faces(*faces, grouping, links_of(count, must, cannot))
    assert frozenset(split) in partition(anew)
    assert len(partition(anew)) == 2


@settings(max_examples=40, deadline=None)
@given(face=st.integers(0, 9), best=st.integers(0, 9), grouping=st.sampled_from([OPTIONS, LOCAL]))
def test_of_two_faces_that_are_said_not_to_be_one_the_first_leaves(
    face: int, best: int, grouping: ClusteringOptions
) -> None:
    if face == best:
        return
    faces = one_person(10)
    links = links_of(10, [], [(face, best)])
    expected = {frozenset({face}), frozenset(set(range(10)) - {face})}
    assert partition(group_faces(*faces, grouping, links)) == expected
    assert partition(add_faces(*faces, np.full(10, 3), grouping, links)) == expected


def test_a_link_given_both_ways_says_nothing_of_who_leaves() -> None:
    vectors, _ = some_people(0, people=1, faces=6, spread=0.02, dimensions=40)
    faces = vectors, np.arange(6), np.ones(6, np.float32)
    for pair in ((0, 1), (1, 0)):
        both = links_of(6, [(0, 2), (0, 3)], [pair, pair[::-1]])
        assert frozenset({1}) in partition(group_faces(*faces, OPTIONS, both))
