"""Health checks of a real Serve replica, made by the method that Serve's controller calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench.server import ROOT

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory, ray_folder: str) -> dict[str, str | int]:
    """What `tests.support.busy_replica` saw: `under_way`, and of two checks what was wrong, `busy` and `broken`."""
    folder = tmp_path_factory.mktemp("busy")
    environment = os.environ | {"DARKROOM_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), "RAY_TMPDIR": ray_folder}
    command = [sys.executable, "-m", "tests.support.busy_replica", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, str | int] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return seen


def test_a_replica_full_of_long_calls_passes_its_check(checks: dict[str, str | int]) -> None:
    assert checks["under_way"] == 2
    assert checks["busy"] == ""


def test_a_full_replica_whose_engine_is_broken_fails_its_check(checks: dict[str, str | int]) -> None:
    assert "the engine is broken" in str(checks["broken"])
