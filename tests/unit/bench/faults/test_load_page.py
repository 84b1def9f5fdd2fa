"""The page and the report of the load."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from bench.faults.growth import BOUNDS, growth_of
from bench.faults.journal import Answer
from bench.faults.load_page import Found, report_on, write
from bench.faults.search import Step, step_of
from bench.report import Report

OPTIONS = argparse.Namespace(users=4, target=2.0, step=8.0, overload=15.0, minutes=1.0)
PAGE = "# Load\n<!-- load: written by a command -->\n<!-- load: end -->\n"


def a_step(rate: float, *statuses: str) -> Step:
    return step_of(rate, [Answer(0.0, 0, "file", status, 0.25, True) for status in statuses])


@pytest.fixture
def found() -> Found:
    series = {name: [(place / 12, 100.0) for place in range(12)] for name in BOUNDS}
    growths = {name: growth_of(name, values) for name, values in series.items()}
    clean = a_step(8.0, "200", "200")
    over = a_step(16.0, "200", "429", "429")
    return Found(clean, [clean], over, 1000.0, 1200.0, 1.5, 3.0, a_step(8.0, "200"), series, growths)


def test_the_page_says_what_was_measured_in_lines_of_bounded_length(tmp_path: Path, found: Found) -> None:
    (tmp_path / "performance.md").write_text(PAGE)
    write(tmp_path, found, OPTIONS)
    page = (tmp_path / "performance.md").read_text()
    assert "**8 calls a second**" in page
    assert "| 16 | 0.25 s | 0.25 s | 0 | 2 |" in page
    assert max(map(len, page.splitlines())) <= 120
    for name in ("load-rates.svg", "load-memory.svg", "load-handles.svg"):
        assert name in page
        assert (tmp_path / name).read_text().startswith("<svg")


def test_a_server_that_kept_every_bound_passes(found: Found) -> None:
    assert report_on(Report("load"), found, OPTIONS)


def test_errors_growth_or_too_much_memory_fail(found: Found) -> None:
    leak = growth_of("memory", [(place, 100.0 * place) for place in range(12)])
    for worse in (
        replace(found, over=a_step(16.0, "500")),
        replace(found, soak=a_step(8.0, "429")),
        replace(found, peak_mb=2000.0),
        replace(found, growths={**found.growths, "memory": leak}),
    ):
        assert not report_on(Report("load"), worse, OPTIONS)
