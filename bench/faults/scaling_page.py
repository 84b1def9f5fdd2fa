"""Report of `bench.faults.scaling`: the table, the passage of docs/operations.md and its plots."""

from __future__ import annotations

import argparse
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from bench.faults.pages import replace_passage
from bench.faults.svg import line_chart
from bench.report import Report

if TYPE_CHECKING:
    from bench.faults.scaling import Run

_SHOWN = ("Worker", "Embedding", "Faces", "Dedup")


def refused(run: Run) -> int:
    """Count the answers that told a client to come again, broke off or were errors."""
    return sum(number for status, number in run.answers.items() if not status.startswith("2"))


def report_on(report: Report, run: Run) -> bool:
    """Add the figures to a report. -> whether nothing was refused and nothing failed"""
    failed = sum(number for status, number in run.outcomes.items() if status != "succeeded")
    report.add("albums", run.albums, "")
    report.add("calls", run.answers.total(), "")
    report.add("  refused or failed", refused(run), "", target=0, at_most=True)
    report.add("jobs", run.outcomes.total(), "")
    report.add("  not succeeded", failed, "", target=0, at_most=True)
    report.add("oldest job's longest wait", max(look.oldest_s for look in run.looks), "s")
    report.add("from the first album to the last job's end", run.done_s, "s")
    for name in run.looks[0].replicas:
        seen = [look.replicas.get(name, 0) for look in run.looks]
        report.add(f"{name}: most replicas", max(seen), "")
        report.add(f"{name}: at the end", seen[-1], "")
    return not refused(run) and not failed


def write(docs: Path, run: Run, options: argparse.Namespace) -> None:
    """Write the passage of `docs`/operations.md, and the plots beside it."""
    replicas = {
        name: [(look.at_s, float(look.replicas.get(name, 0))) for look in run.looks]
        for name in _SHOWN
        if any(look.replicas.get(name, 0) for look in run.looks)
    }
    queue = {
        "waiting jobs": [(look.at_s, float(look.waiting)) for look in run.looks],
        "oldest, seconds": [(look.at_s, look.oldest_s) for look in run.looks],
    }
    (docs / "scaling-replicas.svg").write_text(line_chart("Replicas", "seconds", "", replicas))
    (docs / "scaling-queue.svg").write_text(line_chart("Queue", "seconds", "", queue))
    replace_passage(docs / "operations.md", "scaling", _passage(run, options))


def _passage(run: Run, options: argparse.Namespace) -> str:
    most = {name: max(look.replicas.get(name, 0) for look in run.looks) for name in run.looks[0].replicas}
    first_look, last_look = run.looks[0].replicas, run.looks[-1].replicas
    grown = ", ".join(
        f"{name} {first_look[name]}, {most[name]}, {last_look[name]}" for name in most if most[name] > first_look[name]
    )
    first, last = run.rush_s
    said = (
        f"`python -m bench.faults.scaling --albums {options.albums} --pictures {options.pictures}`, on {os.cpu_count()}"
        f" cores, with delays of seconds: {options.albums} albums were posted between {first:.0f} and {last:.0f} s. Of"
        f" {run.answers.total()} calls {refused(run)} were refused or failed while capacity was coming, and"
        f" {run.outcomes['succeeded']} of {run.outcomes.total()} jobs succeeded, the last after {run.done_s:.0f} s."
        f" Replicas at first, at most and when it ended: {grown or 'the same'}. The oldest job waited"
        f" {max(look.oldest_s for look in run.looks):.0f} s at most."
    )
    plots = "![replicas over time](scaling-replicas.svg) ![waiting jobs and the oldest of them](scaling-queue.svg)"
    return f"{textwrap.fill(said, 120, break_long_words=False, break_on_hyphens=False)}\n\n{plots}"
