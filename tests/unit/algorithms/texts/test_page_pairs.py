"""Pages of one form are told apart by what is written on them, and copies of one page are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from deployments.algorithms.texts.page_pairs import PageRules, compare_pages
from deployments.contracts.texts import Text
from tests.support.pages import a_box

LABELS = {
    (40, 40): "Application form",
    (40, 80): "Name of person",
    (40, 120): "Date of birth",
    (40, 160): "Total amount",
}
ENTRIES = {(320, 80): "Peter Miller", (320, 120): "12.05.1990", (320, 160): "125.00"}


def a_form(changes: Mapping[tuple[int, int], str] = {}, score: float = 0.97, degrees: float = 0.0) -> list[Text]:
    """Read a form with other entries, turned about the origin."""
    return [
        Text(a_box(x, y, 11.0 * len(says), degrees=degrees), 0.9, says, score)
        for (x, y), says in {**LABELS, **ENTRIES, **changes}.items()
        if says
    ]


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ((320, 80), "Anna Kowalska"),
        ((320, 160), "126.00"),
        ((320, 160), "9.00"),
        ((320, 120), "12.06.1990"),
        ((320, 120), "01.20.5199"),
    ],
)
def test_a_form_with_another_entry_is_another_page(place: tuple[int, int], says: str) -> None:
    [(before, after)] = compare_pages(a_form(), a_form({place: says})).changes
    assert before != after


@pytest.mark.parametrize("degrees", [0.0, 3.0, 90.0, 180.0])
def test_a_copy_says_the_same_whichever_way_it_is_turned_and_another_page_does_not(degrees: float) -> None:
    assert compare_pages(a_form(), a_form(degrees=degrees)).changes == ()
    assert compare_pages(a_form(degrees=degrees), a_form({(320, 80): "Anna Kowalska"})).differ


@pytest.mark.parametrize("says", ["l25.OO", "125,00", "125.00 ", "1Z5.00"])
def test_letters_that_are_taken_for_one_another_are_no_difference(says: str) -> None:
    assert not compare_pages(a_form(), a_form({(320, 160): says})).differ


def test_what_was_read_with_a_low_score_is_no_difference() -> None:
    other = a_form({(320, 80): "Anna Kowalska"}, score=PageRules().min_score - 0.01)
    assert not compare_pages(a_form(), other).differ


def test_what_only_one_of_two_pages_shows_is_no_difference() -> None:
    """It was cut off, or is a stamp."""
    assert not compare_pages(a_form(), a_form(dict.fromkeys(ENTRIES, ""))).differ
    assert not compare_pages(a_form(), a_form({(40, 220): "RECEIVED"})).differ
    cut = [replace(text, text=text.text[:6], corners=a_box(*text.corners[0], 66.0)) for text in a_form()]
    assert not compare_pages(a_form(), cut).differ


def test_a_row_that_was_found_in_pieces_is_compared_as_a_whole() -> None:
    joined = [text for text in a_form() if text.corners[0][1] != 160]
    joined.append(Text(a_box(40, 160, 346.0), 0.9, "Total amount            125.00", 0.97))
    assert compare_pages(a_form(), joined).changes == ()
    joined[-1] = replace(joined[-1], text="Total amount            726.00")
    assert compare_pages(a_form(), joined).differ


@pytest.mark.parametrize("other", [[], a_form()[:2], [Text(a_box(0, 0, 60.0), 0.9, "EXIT", 0.99)]])
def test_of_pages_with_too_little_in_common_nothing_is_said(other: Sequence[Text]) -> None:
    assert not compare_pages(a_form(), other).differ
    assert not compare_pages(other, a_form()).differ


def test_the_order_of_two_pages_does_not_matter() -> None:
    one, other = a_form(), a_form({(320, 80): "Anna Kowalska", (320, 160): "9.00"})
    there, back = compare_pages(one, other), compare_pages(other, one)
    assert there.agreed == back.agreed
    assert set(there.changes) == {(before, after) for after, before in back.changes}
