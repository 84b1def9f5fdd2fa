"""Started like `nohup make run &` in a script: what the starter ignores stays ignored, and SIGTERM ends everything."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.server import Server

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

AS_A_BACKGROUND_JOB = ("sh", "-c", 'trap "" INT HUP; exec "$0" -m serve_app', sys.executable)


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, command=AS_A_BACKGROUND_JOB)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_ctrl_c_and_a_closed_terminal_are_not_for_it_and_sigterm_ends_everything(background: Server) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        os.killpg(background.pid, number)
    time.sleep(1)  # nothing happens, so nothing can be waited for
    assert background.is_ready()
    assert "Stopping" not in background.output()
    assert background.stop(signal.SIGTERM) == []
    assert background.exit_status == 0, background.output()
