"""Runs a Darkroom of its own for a measurement: temporary data, free ports, ended with everything it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

_START_S = 180.0
_STOP_S = 60.0
_SAMPLE_S = 0.5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningServer:
    url: str
    pid: int
    start_s: float
    data_dir: Path
    peak_bytes: int = 0
    """Highest sum of proportional set sizes of its processes that was seen."""

    def processes(self) -> list[psutil.Process]:
        """Everything the server runs: its children, and the PostgreSQL in its data folder."""
        root = psutil.Process(self.pid)
        own = {root.pid: root} | {child.pid: child for child in root.children(recursive=True)}
        marks = (f"--session-dir={_session_dir(own)}", str(self.data_dir))
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if any(mark in line for mark in marks if mark.strip("-=")):
                own |= {process.pid: process} | {child.pid: child for child in process.children(recursive=True)}
        return list(own.values())

    def memory_bytes(self) -> int:
        """Proportional set size of all processes: shared pages count once."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        self.peak_bytes = max(self.peak_bytes, total)
        return total


def _session_dir(processes: dict[int, psutil.Process]) -> str:
    for process in processes.values():
        for argument in process.cmdline():
            if argument.startswith("--session-dir="):
                return str(argument).removeprefix("--session-dir=")
    return ""


@contextmanager
def running_server(**environment: str) -> Iterator[RunningServer]:
    """Start `python -m serve_app`, wait until it is ready, and watch its memory until the block ends."""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        port, dashboard = free_port(), free_port()
        env = os.environ | {
            "DARKROOM_DATA_DIR": folder,
            "DARKROOM_HTTP_PORT": str(port),
            "DARKROOM_DASHBOARD_PORT": str(dashboard),
            **environment,
        }
        log = (Path(folder) / "server.log").open("w+")
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "serve_app"], env=env, stdout=log, stderr=log, start_new_session=True
        )
        stopped = threading.Event()
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, url, Path(folder) / "server.log")
            server = RunningServer(url, process.pid, time.monotonic() - started, Path(folder))
            watcher = threading.Thread(target=_watch, args=(server, stopped), daemon=True)
            watcher.start()
            yield server
        finally:
            stopped.set()
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            log.close()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended while starting:\n{log.read_text()[-2000:]}")
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server was not ready after {_START_S:g} s:\n{log.read_text()[-2000:]}")


def _watch(server: RunningServer, stopped: threading.Event) -> None:
    while not stopped.wait(_SAMPLE_S):
        try:
            server.memory_bytes()
        except psutil.Error:
            return
