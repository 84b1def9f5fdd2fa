"""Reports of `make eval`: the last table is kept, what moved is printed, mistakes are drawn, intervals are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.quality import evaluate
from bench.quality.contact_sheet import Mistake
from bench.quality.figures import Figure, Sets
from tests.support.builders import a_photo


def _sets(value: float) -> Sets:
    return {"face groups": {"f": Figure(value, value - 0.2, value + 0.2, 20)}}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "INTERVALS", tmp_path / "intervals.json")


def test_a_second_report_names_what_moved_since_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate.report(_sets(0.5), {}, "quick")
    assert "moved" not in capsys.readouterr().out
    evaluate.report(_sets(0.6), {}, "quick")
    assert "moved: face groups, f: 0.5 -> 0.6" in capsys.readouterr().out


def test_each_set_has_a_contact_sheet_of_its_mistakes() -> None:
    mistakes = {"face groups": [Mistake("merged", [a_photo(max_px=40)])], "tags": []}
    evaluate.report(_sets(0.5), mistakes, "eval")
    assert {path.name for path in Path("out").glob("*.png")} == {
        "eval_mistakes_face_groups.png",
        "eval_mistakes_tags.png",
    }


def test_figures_are_inside_the_intervals_that_were_stored_of_them() -> None:
    assert evaluate.check(_sets(0.5), store=True) == 0
    assert evaluate.check(_sets(0.6), store=False) == 0, "two answers of twenty may change"


def test_a_figure_that_left_its_stored_interval_fails_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate.check(_sets(0.5), store=True)
    assert evaluate.check(_sets(0.39), store=False) == 1
    assert "OUTSIDE its interval: face groups, f" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["nowhere"])
    assert "nowhere is no folder" in capsys.readouterr().err
