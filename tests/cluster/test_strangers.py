"""Another account of the machine, while a server runs: the data folder, Ray's sessions, their logs and sockets."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from bench.server import Server
from serve_app.private_files import ray_folder
from tests.support.album_client import many_pictures, upload
from tests.support.strangers import needs_root, within_reach

pytestmark = [pytest.mark.cluster, pytest.mark.weights, needs_root]


def test_a_stranger_reads_nothing_of_a_running_servers_data_folder(server: Server, client: httpx.Client) -> None:
    upload(client, many_pictures(2, salt=11))
    assert within_reach(server.data_dir) == []


def test_a_stranger_reads_nothing_of_rays_session(server: Server) -> None:
    logs = Path(os.readlink(server.data_dir / "logs"))
    session = logs.parent
    assert session.is_relative_to(ray_folder(server.environment))
    assert (session / "sockets").exists()
    assert within_reach(session) == []
