"""Questions about faces: of what the rule is least sure, and of nothing that was said."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.quality.answers import curve, falls
from bench.quality.face_albums import Album
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.questions import Asked, Question, find_questions
from tests.unit.algorithms.people.test_linkage import some_people

CUT = 0.6
NONE = np.zeros((0, 2), np.int64)


def asked_of(
    vectors: NDArray[np.float32], labels: list[int], pictures: list[int] | None = None, **said: NDArray[np.int64]
) -> list[Question]:
    faces = Asked(
        vectors,
        np.arange(len(vectors)) if pictures is None else np.array(pictures),
        np.ones(len(vectors), np.float32),
        np.array(labels),
    )
    return find_questions(faces, CUT, said.get("parted", NONE), said.get("bound", NONE))


def at(*angles: float) -> NDArray[np.float32]:
    """Unit vectors in a plane."""
    return np.array([(np.cos(angle), np.sin(angle), 0) for angle in angles], np.float32)


def test_of_two_pairs_that_are_nearer_the_cut_is_asked_first() -> None:
    found = asked_of(at(0, 0.61, 2.0, 2.72), [0, 1, 2, 3])
    assert [(one.kind, {one.face, one.other}) for one in found] == [("same", {0, 1}), ("same", {2, 3})]
    assert found[0].doubt < found[1].doubt
    assert all(one.likeness < 0.5 for one in found)


def test_a_face_far_from_the_others_of_its_person_is_asked_of() -> None:
    found = asked_of(at(0, 0.02, 0.04, 0.5), [0, 0, 0, 0])
    assert (found[0].kind, found[0].face) == ("is", 3)
    assert found[0].other != 3


def test_people_who_were_seen_in_one_image_or_parted_are_not_asked_of() -> None:
    vectors = at(0, 0.61)
    assert asked_of(vectors, [0, 1])
    assert asked_of(vectors, [0, 1], pictures=[4, 4]) == []
    assert asked_of(vectors, [0, 1], parted=np.array([[1, 0]])) == []


def test_a_face_that_was_confirmed_is_not_asked_of_again() -> None:
    vectors = at(0, 0.02, 0.5)
    assert any(one.face == 2 for one in asked_of(vectors, [0, 0, 0]))
    assert not any(one.face == 2 for one in asked_of(vectors, [0, 0, 0], bound=np.array([[2, 0]])))


def test_without_people_nothing_is_asked() -> None:
    assert asked_of(at(0, 0.1), [-1, -1]) == []
    assert asked_of(np.zeros((0, 3), np.float32), []) == []


def test_right_answers_to_suggestions_mend_the_grouping_sooner_than_random_ones_and_never_make_it_worse() -> None:
    vectors, owner = some_people(3, people=12, faces=8, spread=0.08, dimensions=40)
    paths = [str(row) for row in range(len(vectors))]
    album = Album(
        {path: str(person) for path, person in zip(paths, owner.tolist(), strict=True)},
        paths,
        {path: row for row, path in enumerate(paths)},
        vectors,
        np.ones(len(vectors), np.float32),
    )
    grouping = ClusteringOptions(cut=CUT, min_quality=0.2)
    assert len(set(group_faces(vectors, np.arange(96), album.quality, grouping).tolist())) != 12, "there are mistakes"
    suggested = curve(album, grouping, 40)
    at_random = [curve(album, grouping, 40, np.random.default_rng(seed))[-1] for seed in range(3)]
    assert falls(suggested) == 0
    assert suggested[-1] > suggested[0]
    assert suggested[-1] > np.mean(at_random)
