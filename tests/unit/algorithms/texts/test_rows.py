"""Reading order: rows of tables, columns of prose, pages turned by any angle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.texts.rows import plain_text, reading_order
from deployments.contracts.texts import Corners
from tests.support.pages import a_box

ANGLES = (0, 3, -4, 15, 90, 87, 180, 184, 270)


@pytest.mark.parametrize("degrees", ANGLES)
def test_cells_of_a_table_are_read_row_by_row_whichever_way_the_page_is_turned(degrees: float) -> None:
    cells = [(30, 40, 90), (330, 41, 15), (460, 39, 60), (30, 84, 180), (330, 85, 15), (460, 83, 60)]
    boxes = [a_box(x, y, width, degrees=degrees) for x, y, width in cells]
    order = [5, 3, 0, 4, 2, 1]
    found = reading_order([boxes[place] for place in order])
    assert [[order[place] for place in row] for row in found] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("degrees", ANGLES)
def test_columns_of_prose_are_read_one_after_the_other_below_a_heading_that_spans_them(degrees: float) -> None:
    heading = a_box(100, 0, 700, degrees=degrees)
    left = [a_box(20, 60 + 30 * line, 400, degrees=degrees) for line in range(5)]
    right = [a_box(500, 66 + 30 * line, 400, degrees=degrees) for line in range(5)]
    footer = a_box(100, 260, 700, degrees=degrees)
    boxes = [heading, *left, *right, footer]
    mixed = [*range(0, 12, 2), *range(1, 12, 2)]
    found = reading_order([boxes[place] for place in mixed])
    assert [mixed[place] for row in found for place in row] == list(range(12))


def test_a_table_of_long_cells_with_few_rows_is_still_a_table() -> None:
    boxes = [a_box(x, y, 300) for y in (0, 40) for x in (0, 400)]
    assert reading_order(boxes) == [[0, 1], [2, 3]]


def test_rows_that_fan_out_on_a_page_seen_from_the_side_are_still_rows() -> None:
    """The slope goes from 6 % down to 4 % up: the last cell of a row lies beside the first of the row below."""
    boxes, wanted = [], []
    for row in range(6):
        slope = 0.06 - 0.02 * row
        cells = [(20, 120), (400, 60), (760, 90)]
        boxes += [_sloping(x, 40 + 34 * row + slope * x, width, slope) for x, width in cells]
        wanted.append([3 * row, 3 * row + 1, 3 * row + 2])
    assert reading_order(boxes) == wanted


def _sloping(x: float, y: float, width: float, slope: float) -> Corners:
    return (x, y), (x + width, y + slope * width), (x + width, y + slope * width + 20), (x, y + 20)


def test_what_runs_another_way_follows_as_a_page_of_its_own() -> None:
    page = [a_box(0, 30 * line, 300) for line in range(3)]
    spine = ((420.0, 0.0), (420.0, 200.0), (400.0, 200.0), (400.0, 0.0))  # downwards
    assert reading_order([spine, *page]) == [[1], [2], [3], [0]]


def test_words_of_a_row_are_parted_by_a_space_and_cells_by_a_tab() -> None:
    boxes = [a_box(0, 0, 50), a_box(58, 0, 50), a_box(300, 2, 50), a_box(0, 40, 50)]
    assert plain_text(boxes, ["two", "words", "cell", "below"]) == "two words\tcell\nbelow"


def test_scripts_without_spaces_get_none() -> None:
    boxes = [a_box(0, 0, 50), a_box(55, 0, 50), a_box(110, 0, 50)]
    assert plain_text(boxes, ["東京", "タワー", "Tower"]) == "東京タワー Tower"


def test_no_texts_are_an_empty_page() -> None:
    assert reading_order([]) == []
    assert plain_text([], []) == ""


_CORNER = st.tuples(st.floats(0, 2000, width=32), st.floats(0, 2000, width=32))


@given(st.lists(st.tuples(_CORNER, _CORNER, _CORNER, _CORNER), max_size=30))
def test_every_text_is_read_once_whatever_its_corners_are(boxes: list[tuple[tuple[float, float], ...]]) -> None:
    found = reading_order(boxes)  # type: ignore[arg-type]
    assert sorted(place for row in found for place in row) == list(range(len(boxes)))
