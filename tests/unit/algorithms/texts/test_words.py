"""Words of pages: which page says a word, and the line that is quoted."""

from __future__ import annotations

import pytest

from deployments.algorithms.texts.words import comparable, quote, says


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("Invoice No. 1,299", "invoice"),
        ("Invoice No. 1,299", "inv"),
        ("Total:\t9.20", "9.20"),
        ("ＴＯＴＡＬ", "total"),
        ("Café Zürich", "zürich"),
        ("営業時間は九時から\n十七時まで", "時間"),
        ("営業時間は九時から\n十七時まで", "から十七時"),
        ("東京タワー", "タワー"),
        ("서울특별시청에서", "시청"),
        ("Μετρό", "μετρό"),
    ],
)
def test_a_page_says_beginnings_of_its_words_and_anything_inside_of_unspaced_scripts(page: str, wanted: str) -> None:
    assert says(comparable(page), comparable(wanted))


@pytest.mark.parametrize(
    ("page", "wanted"),
    [("category", "cat egory"), ("location", "cat"), ("東京", "京東"), ("", "a"), ("text", "")],
)
def test_a_page_does_not_say_the_middle_of_a_word_nor_what_is_not_there(page: str, wanted: str) -> None:
    assert not says(comparable(page), comparable(wanted))


def test_the_line_that_says_it_is_quoted_with_its_cells_parted_by_spaces() -> None:
    assert quote("Item\tPrice\nEspresso\t5.00\nTotal\t9.20", "5.00") == "Espresso 5.00"


def test_what_runs_over_two_lines_is_quoted_by_the_line_where_it_begins() -> None:
    assert quote("first line\nand the next", "line and") == "first line"
    assert quote("a title\nfirst line\nand the next\nlast", "line and the next last") == "first line"
    assert quote("題名\n東京\nタワー", comparable("京タワ")) == "東京"


def test_a_long_line_is_cut_around_what_was_asked_for() -> None:
    line = " ".join(f"word{number}" for number in range(60))
    quoted = quote(line, "word33")
    assert "word33" in quoted
    assert len(quoted) <= 82
    assert quoted.startswith("…")
    assert quoted.endswith("…")
