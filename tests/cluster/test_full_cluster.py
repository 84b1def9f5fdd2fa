"""A full node whose replica of Clustering dies while upscaled Faces and Dedup wait for a place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.server import ROOT

pytestmark = pytest.mark.cluster


def test_the_place_of_a_dead_replica_is_its_successors_however_many_others_wait(
    tmp_path: Path, ray_folder: str
) -> None:
    environment = os.environ | {"DARKROOM_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), "RAY_TMPDIR": ray_folder}
    command = [sys.executable, "-m", "tests.support.full_cluster"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert seen["before"] == {"Faces": 4, "Dedup": 2, "Clustering": 1}
    assert seen["after"] == seen["before"]
