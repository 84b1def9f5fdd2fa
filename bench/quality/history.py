"""Tables of figures: printed against their targets and the last table, kept as JSON, checked against intervals."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.quality.figures import Figure, Sets
from bench.quality.targets import Target

_SHOWN = 5e-4
"""Change that shows in a table."""


def save(sets: Sets, path: Path, **more: object) -> None:
    """Write the figures and what else is to be kept with them."""
    figures = {name: {key: astuple(figure) for key, figure in of.items()} for name, of in sets.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(more | {"figures": figures}, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Sets:
    """Read the figures of a file that `save` wrote; none where there is no such file, or one of another form."""
    if not path.is_file():
        return {}
    figures = json.loads(path.read_text(encoding="utf-8")).get("figures", {})
    return {name: {key: Figure(*numbers) for key, numbers in of.items()} for name, of in figures.items()}


def moved(last: Sets, now: Sets) -> list[str]:
    """List the figures that differ from the last table, and those that only one of the tables has of a set in both."""
    lines = []
    for name in sorted(last.keys() & now.keys()):
        for key in sorted(last[name].keys() | now[name].keys()):
            before, after = last[name].get(key), now[name].get(key)
            if before is None or after is None:
                lines.append(f"{name}, {key}: {'new' if before is None else 'gone'}")
            elif abs(after.value - before.value) >= _SHOWN:
                lines.append(f"{name}, {key}: {before.value:.4g} -> {after.value:.4g}")
    return lines


def outside(stored: Sets, now: Sets) -> list[str]:
    """List the figures that left their stored interval, and those that were not measured or have none."""
    lines = []
    for name in sorted(stored.keys() | now.keys()):
        kept, found = stored.get(name, {}), now.get(name, {})
        for key in sorted(kept.keys() | found.keys()):
            if key not in kept or key not in found:
                lines.append(f"{name}, {key}: {'not measured' if key in kept else 'has no stored interval'}")
            elif not kept[key].low <= found[key].value <= kept[key].high:
                lines.append(
                    f"{name}, {key}: {found[key].value:.4g}, stored {kept[key].low:.4g} to {kept[key].high:.4g}"
                )
    return lines


def print_table(title: str, sets: Sets, targets: dict[tuple[str, str], Target] | None = None) -> int:
    """Print all figures of all sets. -> how many missed their target"""
    table = Table("set", "figure", "value", "95 %", "target", "", title=title, title_justify="left")
    missed = 0
    for name, figures in sets.items():
        for key, figure in figures.items():
            target = (targets or {}).get((name, key))
            met = target is None or target.met(figure.value)
            missed += not met
            interval = "" if figure.low == figure.high else f"{figure.low:.3f} to {figure.high:.3f}"
            verdict = "" if target is None else "ok" if met else "MISSED"
            table.add_row(name, key, f"{figure.value:.4g}", interval, str(target or ""), verdict)
    Console().print(table)
    return missed
