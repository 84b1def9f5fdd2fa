"""Tables of figures: kept, compared with the last one and with stored intervals."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.quality import history
from bench.quality.figures import Figure, Sets
from bench.quality.targets import Target


def _sets(value: float, low: float | None = None, high: float | None = None) -> Sets:
    return {"faces": {"f": Figure(value, value if low is None else low, value if high is None else high)}}


def test_a_table_is_read_as_it_was_kept(tmp_path: Path) -> None:
    history.save(_sets(0.5, 0.4, 0.7), tmp_path / "new" / "table.json", machine="here")
    assert history.load(tmp_path / "new" / "table.json") == _sets(0.5, 0.4, 0.7)


def test_no_last_table_is_an_empty_one(tmp_path: Path) -> None:
    assert history.load(tmp_path / "none.json") == {}


def test_only_figures_that_changed_moved() -> None:
    assert history.moved(_sets(0.5), _sets(0.5001)) == []
    assert history.moved(_sets(0.5), _sets(0.51)) == ["faces, f: 0.5 -> 0.51"]


def test_a_set_that_was_not_measured_did_not_move() -> None:
    assert history.moved(_sets(0.5), {"tags": {"f": Figure.exact(1)}}) == []


def test_figures_that_came_and_went_are_named() -> None:
    now = {"faces": {"g": Figure.exact(1)}}
    assert history.moved(_sets(0.5), now) == ["faces, f: gone", "faces, g: new"]


@pytest.mark.parametrize(("value", "left"), [(0.39, True), (0.4, False), (0.6, False), (0.61, True)])
def test_a_figure_leaves_its_interval_on_either_side(value: float, left: bool) -> None:
    assert bool(history.outside(_sets(0.5, 0.4, 0.6), _sets(value))) is left


def test_a_stored_figure_that_was_not_measured_is_outside() -> None:
    assert history.outside(_sets(0.5), {}) == ["faces, f: not measured"]


def test_a_figure_without_a_stored_interval_is_outside() -> None:
    assert history.outside({}, _sets(0.5)) == ["faces, f: has no stored interval"]


def test_a_table_counts_the_figures_that_missed_their_target(capsys: pytest.CaptureFixture[str]) -> None:
    sets = {"s": {"a": Figure.exact(0.5), "b": Figure.exact(2), "c": Figure(0.9, 0.8, 1)}}
    assert history.print_table("title", sets, {("s", "a"): Target(0.6), ("s", "b"): Target(2, at_most=True)}) == 1
    shown = capsys.readouterr().out
    assert "MISSED" in shown
    assert "0.800 to 1.000" in shown
