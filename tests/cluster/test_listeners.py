"""The ports that Darkroom opens run no command for another machine or another account of this one."""

from __future__ import annotations

import httpx
import pytest

from bench.server import Server
from tests.support.listeners import ListeningSocket, assert_no_command_without_token, grpc_codes, http_status, listeners

pytestmark = [pytest.mark.cluster, pytest.mark.weights]


@pytest.fixture(scope="module")
def sockets(server: Server) -> list[ListeningSocket]:
    found = listeners(server.processes())
    assert {server.port, server.dashboard_port} <= {each.port for each in found}
    return found


def test_every_socket_that_others_reach_asks_for_the_token(sockets: list[ListeningSocket]) -> None:
    open_to_others = [each for each in sockets if not each.is_loopback]
    assert [each for each in open_to_others if not _refuses(each)] == []


def test_only_replicas_listen_beyond_loopback(sockets: list[ListeningSocket]) -> None:
    assert [each for each in sockets if not each.is_loopback and "ServeReplica" not in each.process] == []


def test_no_socket_runs_a_command_without_the_token(sockets: list[ListeningSocket]) -> None:
    assert_no_command_without_token(sockets)


def test_the_token_of_the_data_folder_opens_the_dashboard(server: Server) -> None:
    token = (server.data_dir / "ray_token").read_text()
    assert (server.data_dir / "ray_token").stat().st_mode & 0o077 == 0
    url = f"http://127.0.0.1:{server.dashboard_port}/api/serve/applications/"
    codes = [
        httpx.get(url, headers=headers, timeout=30, trust_env=False).status_code
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {token}"})
    ]
    assert codes == [401, 403, 200]


def _refuses(listener: ListeningSocket) -> bool:
    status = http_status(listener, "GET", "/")
    return status == 401 if status is not None else "UNAUTHENTICATED" in grpc_codes(listener)
