"""Commands of the benchmarks: whoever asks one for help gets it, and no run of an hour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bench

FOLDER = Path(bench.__file__).parent
COMMANDS = [path for path in sorted(FOLDER.rglob("*.py")) if '__name__ == "__main__"' in path.read_text()]
READS_ORDERS = "json.loads(sys.stdin.readline())"
"""Of processes that another command starts."""


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_command_reads_its_arguments(path: Path) -> None:
    source = path.read_text()
    assert any(word in source for word in ("ArgumentParser(", "no_arguments(__doc__)", READS_ORDERS))


@pytest.mark.parametrize(("asked", "status"), [("--help", 0), ("--nonsense", 2)])
def test_a_command_without_arguments_helps_and_refuses_what_it_does_not_know(asked: str, status: int) -> None:
    call = [sys.executable, "-m", "bench.tools.threats", asked]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False, cwd=FOLDER.parent)
    assert done.returncode == status
    assert "python -m bench.tools.threats" in done.stdout + done.stderr
