"""Tables that are written as they are made, so that a run that is cut short leaves what it measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

OUT = Path("out") / "gpu.md"
Cell = str | float | None


class Page:
    """Page of Markdown tables on the screen and in a file, flushed row by row."""

    def __init__(self, path: Path = OUT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")

    def heading(self, text: str, *columns: str) -> None:
        """Begin a table."""
        self._write(f"\n### {text}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")

    def row(self, *cells: Cell) -> None:
        """Write a row; numbers get three significant digits, None is a dash."""
        self._write(f"| {' | '.join(_text(cell) for cell in cells)} |")

    def note(self, text: str) -> None:
        """Write a line of prose."""
        self._write(f"\n{text}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, text: str) -> None:
        print(text, flush=True)
        self._file.write(text + "\n")
        self._file.flush()


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def median(values: Sequence[float]) -> float:
    """Return the median of values."""
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2
