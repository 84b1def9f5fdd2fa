"""What the fuzzer says of itself is told from what it says of the server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fuzzer import FuzzerBroken, Run, Verdict, run_until_judged

FAILURE = {"title": "Server error", "count": 1}
CLEAN: dict[str, Any] = {"failures": [], "errors": []}
FINDING = CLEAN | {"failures": [FAILURE]}
TOOL = """
import json, pathlib, sys
runs = pathlib.Path("../runs")
runs.write_text((runs.read_text() if runs.exists() else "") + "x")
report, code = json.loads(sys.argv[1])[len(runs.read_text()) - 1]
if report is not None:
    pathlib.Path(sys.argv[-1]).write_text(json.dumps(report))
print("AST constructor recursion depth mismatch")
sys.exit(code)
"""
"""Behaves each time as the next item of its argument says: report and exit status."""


def errors(*titles: str) -> dict[str, Any]:
    return CLEAN | {"errors": [{"title": title, "count": 1} for title in titles]}


@pytest.mark.parametrize(
    ("exit_code", "report", "verdict"),
    [
        (0, CLEAN, Verdict.CLEAN),
        (1, FINDING, Verdict.FINDING),
        (1, errors("Network Error"), Verdict.FINDING),
        (1, errors("Schema Error"), Verdict.FINDING),
        (1, errors("Runtime Error"), Verdict.BROKEN),
        (2, errors("Test Execution Error"), Verdict.BROKEN),
        (1, errors("Runtime Error", "Network Error"), Verdict.FINDING),
        (1, errors("Runtime Error") | {"failures": [FAILURE]}, Verdict.FINDING),
        (0, errors("Runtime Error"), Verdict.BROKEN),
        (2, CLEAN, Verdict.BROKEN),
        (-11, None, Verdict.BROKEN),
        (0, None, Verdict.BROKEN),
    ],
)
def test_a_run_is_judged_by_what_it_found(exit_code: int, report: dict[str, Any] | None, verdict: Verdict) -> None:
    assert Run(exit_code, report, output="").verdict is verdict


def a_tool(*behaviour: tuple[dict[str, Any] | None, int]) -> list[str]:
    return [sys.executable, "-c", TOOL, json.dumps(behaviour)]


def runs_in(folder: Path) -> int:
    return len((folder / "runs").read_text())


async def test_a_tool_that_breaks_once_is_tried_again(tmp_path: Path) -> None:
    run = await run_until_judged(a_tool((errors("Runtime Error"), 1), (CLEAN, 0)), tmp_path)
    assert (run.verdict, runs_in(tmp_path)) == (Verdict.CLEAN, 2)


async def test_a_tool_that_breaks_again_is_said_to_be_broken(tmp_path: Path) -> None:
    with pytest.raises(FuzzerBroken, match=r"fuzzer itself broke.*\n.*recursion depth mismatch"):
        await run_until_judged(a_tool((errors("Runtime Error"), 1), (None, -11)), tmp_path)


async def test_a_finding_is_not_tried_again(tmp_path: Path) -> None:
    run = await run_until_judged(a_tool((FINDING, 1), (CLEAN, 0)), tmp_path)
    assert (run.verdict, runs_in(tmp_path)) == (Verdict.FINDING, 1)
