"""Started like `nohup make run &` in a script: what the starter ignores stays ignored. That SIGTERM ends everything
is what the fixture of the server asserts."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bench.server import Server

pytestmark = [pytest.mark.cluster, pytest.mark.weights]


def test_ctrl_c_and_a_closed_terminal_are_not_for_it(server: Server) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        os.killpg(server.pid, number)
    time.sleep(1)  # nothing happens, so nothing can be waited for
    assert server.is_ready()
    assert "Stopping" not in server.output()
