"""Passages of a page that a command writes: they lie between two comments with the passage's name."""

from __future__ import annotations

from pathlib import Path


def replace_passage(page: Path, name: str, text: str) -> None:
    """Write the text between the marks of the passage. Raises `ValueError` where the page has no such passage."""
    begin, end = f"<!-- {name}: written by a command -->", f"<!-- {name}: end -->"
    before, found_begin, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{page.name} has no passage '{name}'")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
