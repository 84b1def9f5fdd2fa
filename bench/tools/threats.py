"""Check of docs/threats.md: every row names tests, and each of them exists: `python -m bench.tools.threats`."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TypeGuard

from bench.report import no_arguments

PAGE = Path("docs/threats.md")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+(?:::\w+)?)`")


def find_faults(page: str, root: Path) -> list[str]:
    """Find the rows of the tables in `page` that name no test, and tests that are not in the files below `root`."""
    faults = []
    for row in rows(page):
        named = _TEST.findall(row)
        if not named:
            faults.append(f"no test: {row}")
        faults += [f"no such test: {path}::{name}" for path, name in named if name not in tests_of(root / path)]
    return faults


def rows(page: str) -> list[str]:
    """List the rows of the tables, without their heads."""
    lines = page.splitlines()
    return [
        line
        for number, line in enumerate(lines)
        if line.startswith("|")
        and not set(line) <= set("|-: ")
        and not (number + 1 < len(lines) and set(lines[number + 1]) <= set("|-: ") and lines[number + 1])
    ]


def tests_of(path: Path) -> set[str]:
    """Name the tests of a file: functions as `name`, methods also as `Class::name`."""
    if not path.is_file():
        return set()
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{inner.name}" for inner in node.body if _is_test(inner)}
        elif _is_test(node):
            names.add(node.name)
    return names


def _is_test(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")


def main() -> int:
    """Print the faults. -> exit status"""
    no_arguments(__doc__)
    faults = find_faults(PAGE.read_text(), Path())
    for fault in faults:
        sys.stderr.write(f"{PAGE}: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
