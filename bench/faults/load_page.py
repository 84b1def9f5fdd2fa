"""Report of `bench.faults.load`: the table, the passage of docs/performance.md and its plots."""

from __future__ import annotations

import argparse
import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

from bench.faults.growth import BOUNDS, Growth, Series
from bench.faults.pages import replace_passage
from bench.faults.search import Step
from bench.faults.svg import line_chart
from bench.report import Report


@dataclass(frozen=True)
class Found:
    """What was measured."""

    clean: Step
    steps: list[Step]
    over: Step
    memory_mb: float
    """Memory after the search."""
    peak_mb: float
    """Highest memory at twice the rate."""
    memory_bound: float
    """Most that the peak may be, as a ratio to the memory before."""
    recovered_s: float
    soak: Step
    series: dict[str, Series]
    growths: dict[str, Growth]


def report_on(report: Report, found: Found, options: argparse.Namespace) -> bool:
    """Add the figures to a report. -> whether every bound was kept"""
    over, soak = found.over, found.soak
    report.add(f"highest rate with p99 in {options.target:g} s and no error", found.clean.rate, "calls/s")
    report.add("  p50 at it", found.clean.p50_s, "s")
    report.add("  p99 at it", found.clean.p99_s, "s")
    report.add(f"twice that, {options.overload:g} s: answers 429 with Retry-After", over.refused, "")
    report.add("  errors", over.errors, "", target=0, at_most=True)
    report.add("  p99", over.p99_s, "s")
    report.add("  memory before", found.memory_mb, "MB")
    report.add("  most memory", found.peak_mb, "MB", target=found.memory_bound * found.memory_mb, at_most=True)
    report.add("  until the first rate is clean again", found.recovered_s, "s")
    report.add(f"{options.minutes:g} minutes at the first rate: errors and refusals", soak.errors + soak.refused, "",
               target=0, at_most=True)  # fmt: skip
    report.add("  p99", soak.p99_s, "s")
    for name, growth in found.growths.items():
        unit = BOUNDS[name].unit
        report.add(f"  {name}, median", growth.median, unit)
        report.add(f"  {name}, slope", growth.slope, f"{unit}/min")
        report.add(f"  {name}, grown", growth.grown, unit, target=growth.bound, at_most=True)
    return (
        over.errors == 0
        and found.peak_mb <= found.memory_bound * found.memory_mb
        and soak.errors + soak.refused == 0
        and all(growth.grown <= growth.bound for growth in found.growths.values())
    )


def write(docs: Path, found: Found, options: argparse.Namespace) -> None:
    """Write the passage of `docs`/performance.md, and the plots beside it."""
    rates = sorted([*found.steps, found.over], key=lambda step: step.rate)
    lines = {
        "p50": [(step.rate, step.p50_s) for step in rates],
        "p99": [(step.rate, step.p99_s) for step in rates],
    }
    (docs / "load-rates.svg").write_text(
        line_chart("Seconds until the answer", "calls a second", "s", lines, top=options.target)
    )
    (docs / "load-memory.svg").write_text(
        line_chart("Memory at the clean rate", "minutes", "MB", {"memory": found.series["memory"]})
    )
    others = {name: series for name, series in found.series.items() if name != "memory"}
    (docs / "load-handles.svg").write_text(line_chart("Held at the clean rate", "minutes", "", others))
    replace_passage(docs / "performance.md", "load", _passage(found, options))


def _passage(found: Found, options: argparse.Namespace) -> str:
    over, soak = found.over, found.soak
    steps = sorted(found.steps, key=lambda step: step.rate)
    rows = [
        f"| {step.rate:.3g} | {step.p50_s:.2f} s | {step.p99_s:.2f} s | {step.errors} | {step.refused} |"
        for step in [*steps, over]
    ]
    held = [
        f"| {name} | {f'{growth.median:.0f} {BOUNDS[name].unit}'.strip()} | {growth.slope:+.2g} a minute |"
        f" {growth.grown:+.1f} | {growth.bound:.0f} |"
        for name, growth in found.growths.items()
    ]
    command = (
        f"`python -m bench.faults.load --users {options.users} --target {options.target:g} --step {options.step:g}"
        f" --overload {options.overload:g} --minutes {options.minutes:g}` on {os.cpu_count()} cores, which the process"
        " that calls shares:"
    )
    points = (
        f"highest clean rate: **{found.clean.rate:.3g} calls a second**, p99 {found.clean.p99_s:.2f} s",
        f"twice that for {options.overload:g} s: {over.refused} of {over.statuses.total()} answered 429 with"
        f" `Retry-After`, {over.errors} errors; memory at most {found.peak_mb:.0f} MB (before {found.memory_mb:.0f});"
        f" clean again after {found.recovered_s:.0f} s",
        f"{options.minutes:g} minutes at the clean rate: {soak.statuses.total()} calls, {soak.errors} errors,"
        f" {soak.refused} refusals, p99 {soak.p99_s:.2f} s",
    )
    return "\n".join(
        [
            _wrapped(command),
            "",
            *(_wrapped(f"- {point}", "  ") for point in points),
            "",
            "| calls a second | p50 | p99 | errors | 429 with Retry-After |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "![seconds by rate](load-rates.svg)",
            "",
            "| held at the clean rate | median | slope | grown | at most |",
            "|---|---|---|---|---|",
            *held,
            "",
            "![memory](load-memory.svg) ![connections and files](load-handles.svg)",
        ]
    )


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
