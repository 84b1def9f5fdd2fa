"""Reports of figures as a table and as a JSON file, with the machine that they were measured on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OUT = Path("out")


def no_arguments(doc: str | None) -> None:
    """Answer `--help` by the words of a module that is a command, and refuse all arguments."""
    argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, prog=f"python -m {_running()}"
    ).parse_args()


def _running() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else "bench"


def machine() -> str:
    """Describe this machine: host, processor and cores."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{platform.node()}, {model}, {os.cpu_count()} cores"


class NotMeasured(ValueError):
    """There is no figure, for a reason that whoever ran the command understands without a traceback."""


class Report:
    """Figures in the order in which they were added; those with a target say whether it was met."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: list[dict[str, Any]] = []

    def add(self, figure: str, value: float, unit: str, *, target: float | None = None, at_most: bool = False) -> None:
        """Add a figure. `target` is a least value, or with `at_most` a greatest one."""
        met = None if target is None else bool(value <= target if at_most else value >= target)
        self._rows.append(
            {"figure": figure, "value": value, "unit": unit, "target": target, "at_most": at_most, "met": met}
        )

    def finish(self) -> None:
        """Print the table and write `out/bench_<name>.json`."""
        table = Table("figure", "value", "unit", "target", "", title=f"{self._name}: {machine()}", title_justify="left")
        for row in self._rows:
            sign = "<=" if row["at_most"] else ">="
            target = "" if row["target"] is None else f"{sign} {row['target']:g}"
            met = {None: "", True: "ok", False: "MISSED"}[row["met"]]
            table.add_row(row["figure"], f"{row['value']:.4g}", row["unit"], target, met)
        Console().print(table)
        OUT.mkdir(exist_ok=True)
        content = {"machine": machine(), "figures": self._rows}
        (OUT / f"bench_{self._name}.json").write_text(json.dumps(content, indent=1))
