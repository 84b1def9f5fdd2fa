"""Faces found again by their places, and what was said of them as links between those that are there."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.people.links import Links
from serve_app.services.people.places import PlacedFaces, resolve
from serve_app.store.repositories.corrections import Correction, CorrectionKind, Place

SIZE = (200, 100)


def faces_at(*boxes: tuple[str, tuple[float, float, float, float]], size: tuple[int, int] = SIZE) -> PlacedFaces:
    """Faces by content and box in pixels."""
    shas = sorted({sha for sha, _ in boxes})
    pictures = np.array([shas.index(sha) for sha, _ in boxes], np.int64)
    return PlacedFaces(shas, [size] * len(shas), pictures, np.array([box for _, box in boxes], np.float32))


def said(kind: CorrectionKind, a: Place, b: Place) -> Correction:
    return Correction("cor_1", "cor_1", kind, a, b, {}, "test", datetime.now(UTC), None)


BOX = (20.0, 20.0, 60.0, 60.0)


def test_a_face_is_found_where_another_network_draws_its_box_a_little_differently() -> None:
    place = faces_at(("a", BOX), ("b", BOX)).place_of(0)
    assert place == Place("a", pytest.approx((0.1, 0.2, 0.3, 0.6)))
    again = faces_at(("a", (100, 20, 140, 60)), ("a", (24, 17, 62, 64)))
    assert again.find(place) == 1
    assert faces_at(("a", (40, 20, 80, 60))).find(place) is None
    assert faces_at(("b", BOX)).find(place) is None


def test_a_place_does_not_depend_on_the_size_at_which_a_file_is_seen() -> None:
    place = faces_at(("a", BOX)).place_of(0)
    assert faces_at(("a", (40, 40, 120, 120)), size=(400, 200)).find(place) == 0


def test_of_two_overlapping_faces_the_nearer_one_is_found() -> None:
    place = faces_at(("a", BOX)).place_of(0)
    assert faces_at(("a", (28, 20, 68, 60)), ("a", (22, 20, 62, 60))).find(place) == 1


def test_what_is_bound_by_a_face_that_is_gone_stays_bound() -> None:
    a, b, c = (faces_at((name, BOX)).place_of(0) for name in "abc")
    found = resolve(
        [said("must", a, b), said("must", b, c), said("cannot", b, b)], [], faces_at(("a", BOX), ("c", BOX))
    )
    assert [0, 1] in found.must.tolist()
    assert found.cannot.tolist() == []


def test_places_that_have_come_to_be_one_face_are_no_contradiction() -> None:
    a = faces_at(("a", BOX)).place_of(0)
    near = faces_at(("a", (24, 17, 62, 64))).place_of(0)
    assert resolve([said("cannot", a, near)], [], faces_at(("a", BOX))).cannot.tolist() == []
    assert resolve([said("cannot", a, a)], [], faces_at(("a", BOX))).cannot.tolist() == [[0, 0]]


def test_faces_of_which_something_was_taken_back_are_doubted() -> None:
    a, b = (faces_at((name, BOX)).place_of(0) for name in "ab")
    found = resolve([], [said("must", a, b)], faces_at(("b", BOX)))
    assert found.is_empty
    assert found.doubted.tolist() == [0]


NAMES = st.sampled_from("abcdef")
LINKS = st.lists(st.tuples(st.sampled_from(["must", "cannot"]), NAMES, NAMES), max_size=10)


@settings(max_examples=100, deadline=None)
@given(links=LINKS, present=st.sets(NAMES))
def test_what_is_found_never_contradicts_itself(
    links: list[tuple[CorrectionKind, str, str]], present: set[str]
) -> None:
    places = {name: faces_at((name, BOX)).place_of(0) for name in "abcdef"}
    faces = faces_at(*((name, BOX) for name in sorted(present)))
    found = resolve([said(kind, places[a], places[b]) for kind, a, b in links], [], faces)
    Links(len(present), found.must, found.cannot).unite(np.arange(len(present)))
