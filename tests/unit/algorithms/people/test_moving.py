"""Faces of one network matched to those of another in the same places."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.people.moving import match_places
from deployments.contracts.albums import UNASSIGNED, UNKNOWN


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(corners, np.float32).reshape(-1, 4)


def at(*places: int) -> np.ndarray:
    return np.array(places, np.int64)


@given(seed=st.integers(0, 10**6), faces=st.integers(0, 12), images=st.integers(1, 4))
def test_faces_found_again_within_a_few_pixels_keep_their_labels_in_any_order(
    seed: int, faces: int, images: int
) -> None:
    rng = np.random.default_rng(seed)
    corner = np.stack([np.arange(faces) * 50.0, rng.uniform(0, 500, faces)], axis=1)
    old = np.concatenate([corner, corner + 40], axis=1).astype(np.float32)
    pictures, labels = rng.integers(0, images, faces), rng.integers(-1, 5, faces)
    order = rng.permutation(faces)
    new = (old + rng.uniform(-3, 3, old.shape))[order].astype(np.float32)
    assert np.array_equal(match_places(pictures, old, labels, pictures[order], new), labels[order])


def test_a_face_that_the_other_network_did_not_see_is_unknown() -> None:
    found = match_places(at(0), boxes((0, 0, 40, 40)), at(7), at(0, 0), boxes((1, 0, 41, 40), (200, 0, 240, 40)))
    assert found.tolist() == [7, UNKNOWN]


def test_a_face_of_another_image_is_not_the_same() -> None:
    assert match_places(at(0), boxes((0, 0, 40, 40)), at(7), at(1), boxes((0, 0, 40, 40))).tolist() == [UNKNOWN]


def test_of_two_faces_in_one_place_the_nearer_takes_the_label() -> None:
    found = match_places(at(0), boxes((0, 0, 40, 40)), at(7), at(0, 0), boxes((5, 0, 45, 40), (1, 0, 41, 40)))
    assert found.tolist() == [UNKNOWN, 7]


def test_a_face_that_was_of_no_person_stays_so() -> None:
    same = boxes((0, 0, 40, 40))
    assert match_places(at(0), same, at(UNASSIGNED), at(0), same).tolist() == [UNASSIGNED]
