"""One server for most cluster tests: what they do to it, it must survive."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator

import httpx
import pytest

from bench.server import Server
from bench.speed.neighbour import server_with_keys
from tests.support.album_client import open_client
from tests.support.strangers import a_folder_on_the_way

LEASE_S = 4
MAX_IMAGES = 60
AS_A_BACKGROUND_JOB = ("sh", "-c", 'trap "" INT HUP; exec "$0" -m serve_app', sys.executable)
"""As `nohup make run &` in a script starts it: deaf to Ctrl-C and to a terminal that closes."""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Started as a background job, on a folder that others may list and on a way that they may go, and ended as a
    service manager would; whatever then is left fails the test that came last."""
    with a_folder_on_the_way() as parent:
        started = Server(
            parent / "data",
            AS_A_BACKGROUND_JOB,
            DARKROOM_JOBS__LEASE_S=str(LEASE_S),
            DARKROOM_LIMITS__MAX_IMAGES=str(MAX_IMAGES),
        )
        started.data_dir.mkdir(mode=0o755)
        try:
            started.start()
            yield started
            left = started.stop(signal.SIGTERM)
            assert (left, started.exit_status) == ([], 0), started.output()
        finally:
            started.kill()


@pytest.fixture(scope="session")
def keyed() -> Iterator[tuple[Server, str]]:
    """A server that asks for keys and whose queue is short, to which nothing happens; and its administrator's key."""
    with server_with_keys(DARKROOM_JOBS__MAX_QUEUED="40", DARKROOM_JOBS__MAX_QUEUED_TOTAL="60") as started:
        yield started


@pytest.fixture(scope="session")
def ray_folder() -> Iterator[str]:
    """For `RAY_TMPDIR`: Ray keeps the address of the last cluster there, and joins that instead of starting its own.

    Not pytest's folder: with Ray's own path behind it, a socket's name would be too long.
    """
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with open_client(server) as opened:
        yield opened
