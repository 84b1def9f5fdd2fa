"""Another account of the machine, while a server runs: the data folder, Ray's sessions, their logs and sockets."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.server import Server
from serve_app.private_files import ray_folder
from tests.support.album_client import many_pictures, open_client, upload
from tests.support.strangers import a_folder_on_the_way, needs_root, within_reach

pytestmark = [pytest.mark.cluster, pytest.mark.weights, needs_root]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    with a_folder_on_the_way() as parent:
        server = Server(parent / "data")
        server.data_dir.mkdir(mode=0o755)
        try:
            server.start()
            with open_client(server) as client:
                upload(client, many_pictures(2, salt=11))
            yield server
            server.stop(signal.SIGTERM)
        finally:
            server.kill()


def test_a_stranger_reads_nothing_of_a_running_servers_data_folder(own_server: Server) -> None:
    assert within_reach(own_server.data_dir) == []


def test_a_stranger_reads_nothing_of_rays_session(own_server: Server) -> None:
    logs = Path(os.readlink(own_server.data_dir / "logs"))
    session = logs.parent
    assert session.is_relative_to(ray_folder(own_server.environment))
    assert (session / "sockets").exists()
    assert within_reach(session) == []
