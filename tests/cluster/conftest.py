"""One server for most cluster tests: what they do to it, it must survive."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator

import httpx
import pytest

from bench.server import Server
from tests.support.album_client import open_client

LEASE_S = 4
MAX_IMAGES = 60


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ended as a service manager would; whatever then is left fails the test that came last."""
    started = Server(
        tmp_path_factory.mktemp("server"),
        DARKROOM_JOBS__LEASE_S=str(LEASE_S),
        DARKROOM_LIMITS__MAX_IMAGES=str(MAX_IMAGES),
    )
    try:
        started.start()
        yield started
        left = started.stop(signal.SIGTERM)
        assert (left, started.exit_status) == ([], 0), started.output()
    finally:
        started.kill()


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
