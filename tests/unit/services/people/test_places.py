"""Faces found again by their places, and what was said of them as links between those that are there."""

from __future__ import annotations

from dataclasses import replace
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


BOXES = st.tuples(st.sampled_from("abc"), st.integers(0, 80), st.integers(0, 40)).map(
    lambda drawn: (drawn[0], (drawn[1], drawn[2], drawn[1] + 40.0, drawn[2] + 40.0))
)


@settings(max_examples=60, deadline=None)
@given(there=st.lists(BOXES, min_size=1, max_size=8), asked=st.lists(BOXES, max_size=8))
def test_many_places_are_found_at_once_as_one_by_one(there: list[tuple], asked: list[tuple]) -> None:  # type: ignore[type-arg]
    faces = faces_at(*there)
    places = [Place(sha, (x1 / 200, y1 / 100, x2 / 200, y2 / 100)) for sha, (x1, y1, x2, y2) in asked]
    found = faces.find_all(places).tolist()
    for (sha, box), place, face in zip(asked, places, found, strict=True):
        shared = {at: _iou(box, other) for at, (name, other) in enumerate(there) if name == sha}
        assert faces.find(place) == (None if face < 0 else face)
        best = max(shared.values(), default=0.0)
        assert (face >= 0) == (best >= 0.5 - 1e-6) or abs(best - 0.5) < 1e-5
        assert face < 0 or shared[face] == pytest.approx(best, abs=1e-5)


def _iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (2 * 1600 - shared)


def test_two_who_are_not_the_same_are_parted_both_ways_and_one_who_was_moved_out_one_way() -> None:
    a, b = (faces_at((name, BOX)).place_of(0) for name in "ab")
    either = replace(said("cannot", a, b), value={"either": True})
    faces = faces_at(("a", BOX), ("b", BOX))
    assert resolve([either], [], faces).cannot.tolist() == [[0, 1], [1, 0]]
    found = resolve([said("cannot", a, b)], [], faces)
    assert (found.cannot.tolist(), found.sources) == ([[0, 1]], ["cor_1"])
