"""The container's command as a plain process: the entrypoint with the image's variables, and its health check."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from bench.server import ROOT, Server
from configs.settings import Settings
from tests.support.container_files import health_check, variables
from tests.support.listeners import assert_no_command_without_token, listeners

pytestmark = [pytest.mark.cluster, pytest.mark.weights]


def test_the_entrypoint_brings_up_a_healthy_server_and_sigterm_ends_it(tmp_path: Path) -> None:
    image = variables("python") | variables("server")
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    own = {"HOME": str(tmp_path), "DARKROOM_WEIGHTS_DIR": str(Settings().weights_dir), "PATH": path}
    own |= {"DARKROOM_HTTP_HOST": "127.0.0.1", "DARKROOM_AUTH__ADMIN_KEY": "0123456789abcdef"}
    places = ("DARKROOM_DATA_DIR", "DARKROOM_HTTP_PORT")  # the server of the tests has its own
    environment = {name: value for name, value in (image | own).items() if name not in places}
    server = Server(tmp_path, command=("sh", str(ROOT / "docker/entrypoint.sh")), **environment)
    try:
        server.start()
        assert (tmp_path / "ray_token").stat().st_mode & 0o077 == 0
        assert_no_command_without_token(listeners(server.processes()))
        checked = subprocess.run(health_check(), env=dict(server.environment), timeout=20, check=False)
        assert checked.returncode == 0
        left = server.stop(signal.SIGTERM)
        assert (left, server.exit_status) == ([], 0), server.output()
    finally:
        server.kill()
