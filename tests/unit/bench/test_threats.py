"""The check of the threats page finds rows without a test and tests that are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.tools.threats import PAGE, find_faults, rows

HEAD = "| threat | test |\n|---|---|\n"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text(
        "def test_one(): ...\ndef helper(): ...\nclass TestB:\n    async def test_two(self): ...\n"
    )
    return tmp_path


@pytest.mark.parametrize("name", ["test_one", "TestB::test_two"])
def test_a_row_of_threats_that_names_a_test_has_no_fault(root: Path, name: str) -> None:
    assert find_faults(f"{HEAD}| theft | `tests/test_a.py::{name}` |\n", root) == []


@pytest.mark.parametrize(
    "cell", ["", "by hand", "`tests/test_a.py::test_three`", "`tests/test_a.py::helper`", "`tests/test_b.py::test_one`"]
)
def test_a_row_of_threats_without_an_existing_test_is_a_fault(root: Path, cell: str) -> None:
    assert len(find_faults(f"{HEAD}| theft | {cell} |\n", root)) == 1


def test_a_row_of_threats_with_one_lost_test_of_two_is_a_fault(root: Path) -> None:
    cell = "`tests/test_a.py::test_one`, `tests/test_a.py::test_gone`"
    assert find_faults(f"{HEAD}| theft | {cell} |\n", root) == ["no such test: tests/test_a.py::test_gone"]


def test_the_threats_page_has_rows() -> None:
    assert len(rows((ROOT / PAGE).read_text())) >= 20
