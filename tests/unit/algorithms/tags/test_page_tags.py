"""Tags of pages by what is written on them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deployments.algorithms.tags.page_tags import page_tag, page_tags, with_page_tags
from deployments.contracts.texts import Text
from tests.support.pages import a_box

WIDTH, HEIGHT = 440, 720
GOODS = ["Cheese roll", "Ink black", "Baguette", "Orange juice", "Green tea"]


def a_sheet(
    rows: Sequence[Sequence[str]], *, top: float = 40.0, pitch: float = 36.0, score: float = 0.97
) -> list[Text]:
    """Read rows of cells on a sheet of WIDTH by HEIGHT."""
    return [
        Text(a_box(40 + 250 * column, top + pitch * row, 13.0 * len(says), 28.0), 0.9, says, score)
        for row, cells in enumerate(rows)
        for column, says in enumerate(cells)
    ]


RECEIPT = [["LUIS MARKET"], *([goods, f"{place}.50"] for place, goods in enumerate(GOODS, 2)), ["TOTAL EUR", "20.00"]]
LETTER = [["people place water work thing name"]] * 14


def tags(texts: Sequence[Text], width: int = WIDTH, height: int = HEIGHT) -> set[str]:
    return {tag for tag, score in page_tags(texts, width, height).items() if score >= 0.5}


def test_a_page_of_prose_is_a_document_and_no_receipt() -> None:
    assert tags(a_sheet(LETTER)) == {"document"}


@pytest.mark.parametrize("total", ["TOTAL EUR", "Summe", "Gesamtbetrag", "Montant TTC", "合計"])
def test_amounts_and_their_total_make_a_receipt_in_several_languages(total: str) -> None:
    assert tags(a_sheet([*RECEIPT[:-1], [total, "20.00"]])) == {"document", "receipt"}


def test_amounts_without_a_total_and_a_total_without_amounts_make_none() -> None:
    assert tags(a_sheet([*RECEIPT[:-1], ["Thank you for your visit"], ["Closed on Sundays"]])) == {"document"}
    assert tags(a_sheet([*LETTER[:6], ["in total silence"]])) == {"document"}


def test_a_clock_at_the_top_of_level_lines_makes_a_screenshot() -> None:
    chat = [["21:47", "83%"], *LETTER[:8]]
    assert tags(a_sheet(chat, top=6)) == {"document", "screenshot"}
    assert tags(a_sheet(chat, top=140)) == {"document"}, "it stands in the page"
    tilted = [
        Text(a_box(40, 20 + 36 * row, 260.0, 28.0, degrees=2.0), 0.9, cells[0], 0.97) for row, cells in enumerate(chat)
    ]
    assert "screenshot" not in tags(tilted)


def test_a_sign_in_a_photograph_and_words_all_over_it_make_no_page() -> None:
    assert tags(a_sheet([["EXIT"], ["Gate B22"]])) == set()
    assert tags(a_sheet(RECEIPT), 4 * WIDTH, 4 * HEIGHT) == set()
    crossing = [Text(a_box(200, 100, 200.0, 28.0, degrees=30 * turn), 0.9, "words", 0.97) for turn in range(-3, 4)]
    assert tags(crossing) == set()


def test_what_was_read_with_doubt_is_tagged_with_doubt() -> None:
    sure, unsure = (page_tags(a_sheet(RECEIPT, score=score), WIDTH, HEIGHT)["receipt"] for score in (0.99, 0.6))
    assert unsure < sure


def test_what_the_models_are_sure_of_has_no_tags_of_pages_beside_it_unless_it_is_paper() -> None:
    page = {"document": 0.8}
    assert with_page_tags({"car": 0.7}, page) == {"car": 0.7}
    assert with_page_tags({"car": 0.3}, page) == {"car": 0.3, "document": 0.8}
    assert with_page_tags({"person": 0.99}, page) == {"person": 0.99, "document": 0.8}, "it has a picture"
    assert with_page_tags({"menu": 0.9, "document": 0.9}, page) == {"menu": 0.9, "document": 0.9}


@pytest.mark.parametrize(
    ("label", "tag"), [("Receipt", "receipt"), ("invoices", "receipt"), ("document", "document"), ("cat", None)]
)
def test_labels_ask_for_tags_of_pages_by_several_words(label: str, tag: str | None) -> None:
    assert page_tag(label) == tag
