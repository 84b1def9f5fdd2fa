"""The short form of `make chaos`: three faults in the order of a fixed seed, under traffic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.server import ROOT, STOP_S

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

SEED = 4
FAULTS = 3
PATIENCE_S = 400.0


def test_nothing_acknowledged_is_lost_fails_or_is_wrong_after_three_faults(tmp_path: Path) -> None:
    status, output = _chaos(tmp_path, "--seconds", "60", "--seed", str(SEED), "--faults", str(FAULTS))
    assert status == 0, output
    written = json.loads((tmp_path / "out" / f"bench_chaos_compact_{SEED}.json").read_text())
    figures = {row["figure"]: row["value"] for row in written["figures"]}
    assert sum(figure.endswith("back to strength") for figure in figures) == FAULTS
    for subject in ("pictures", "albums", "jobs"):
        assert figures[f"acknowledged {subject}"] > 0
    assert figures["answers compared with an undisturbed server's"] > 0


def _chaos(folder: Path, *options: str) -> tuple[int, str]:
    """Run the command in a folder. -> exit status and output

    Interrupted when it is late, and not killed: it has servers to end.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DARKROOM_JOBS__LEASE_S": "4"}
    command = [sys.executable, "-m", "bench.faults.chaos", *options]
    with (
        (folder / "output").open("w+") as output,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            status = process.wait(PATIENCE_S)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_S)
            raise
        output.seek(0)
        return status, output.read()
