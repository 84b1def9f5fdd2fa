"""Passages of pages that commands write."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faults.pages import replace_passage
from bench.server import ROOT

PAGE = "# Title\n<!-- load: written by a command -->\nold\n<!-- load: end -->\nrest\n"


def test_only_the_passage_is_replaced_and_twice_is_as_good_as_once(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    replace_passage(page, "load", "new\n")
    replace_passage(page, "load", "new\n")
    assert page.read_text() == PAGE.replace("old", "new")


def test_a_page_without_the_passage_stays_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(ValueError, match=r"page\.md has no passage 'other'"):
        replace_passage(page, "other", "new")
    assert page.read_text() == PAGE


def test_the_page_of_performance_has_the_passage_of_the_load(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text((ROOT / "docs" / "performance.md").read_text())
    replace_passage(page, "load", "new")
    assert "\nnew\n" in page.read_text()
