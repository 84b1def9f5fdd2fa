"""Servers for measurements and tests: own data folder, free ports, ended with everything that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from bench.ending import end_by_sigterm_too
from serve_app.local_ray import free_port

ROOT = Path(__file__).parents[1]
START_S = 1200.0
"""Seconds that a start may take: with CLIP the tagger first reads two thousand sentences, minutes on a processor."""
STOP_S = 60.0
_SAMPLE_S = 0.5
_SAMPLE_REST = 40.0
_POLL_S = 0.05


class Server:
    """`python -m serve_app`, or another command that serves, on a data folder that may have been used before."""

    def __init__(
        self,
        data_dir: Path,
        command: Sequence[str] = (sys.executable, "-m", "serve_app"),
        announcement: str = "Darkroom is ready",
        **environment: str,
    ) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.dashboard_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start_s = 0.0
        self.peak_bytes = 0
        """Highest sum of proportional set sizes of its processes that `memory_bytes` has measured."""
        self._command = list(command)
        self._announcement = announcement
        self._environment = environment
        self._log = data_dir / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: set[str] = set()

    @property
    def pid(self) -> int:
        assert self._process, "not started"
        return self._process.pid

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ | {
            "PYTHONPATH": str(ROOT),
            "DARKROOM_DATA_DIR": str(self.data_dir),
            "DARKROOM_HTTP_PORT": str(self.port),
            "DARKROOM_DASHBOARD_PORT": str(self.dashboard_port),
            **self._environment,
        }

    def start(self) -> None:
        """Start the server and wait until it says so and /readyz agrees; `start_s` is the time in seconds.

        From here on SIGTERM ends this process as Ctrl-C does: the server, in a session of its own, gets neither.
        """
        end_by_sigterm_too()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with self._log.open("w") as log:
            # A session of its own: it gets the signals that a terminal would send, and nobody else does.
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        while time.monotonic() - started < START_S:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended while starting:\n{self.output()[-2000:]}")
            if self._announcement in self.output() and self.is_ready():
                self.start_s = time.monotonic() - started
                return
            time.sleep(_POLL_S)
        raise RuntimeError(f"the server was not ready after {START_S:g} s:\n{self.output()[-2000:]}")

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=30, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def output(self) -> str:
        """Output that the server has written on the terminal."""
        return self._log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """List all its processes: its children, Ray's processes of its session, the PostgreSQL in its data folder."""
        own: dict[int, psutil.Process] = {}
        if self.exit_status is None:  # else its number may be somebody else's by now
            own = _with_children(psutil.Process(self.pid))
        self._sessions |= _session_dirs(own.values())
        marks = [f"{self.data_dir}/postgres", *(f"--session-dir={folder}" for folder in self._sessions)]
        for process in psutil.process_iter():
            if any(mark in _command_line(process) for mark in marks):
                own |= _with_children(process)
        return list(own.values())

    def replica(self, deployment: str) -> psutil.Process:
        """Find the process of a deployment with one replica. Raises `LookupError` while there is none."""
        for process in self.processes():
            if _command_line(process).startswith(f"ray::ServeReplica:darkroom:{deployment}"):
                return process
        raise LookupError(f"no replica of {deployment}")

    def memory_bytes(self) -> int:
        """Proportional set size of all processes in bytes: shared pages count once."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        self.peak_bytes = max(self.peak_bytes, total)
        return total

    def processor_s(self) -> float:
        """Processor seconds of all its processes, and of those that have ended under them."""
        total = 0.0
        for process in self.processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def stop(self, number: signal.Signals = signal.SIGTERM) -> list[psutil.Process]:
        """Send the signal to the whole foreground group, as a terminal does. -> processes that outlived it

        A server whose starter ignores SIGINT ignores it too. The exit status is in `exit_status`. Whatever is left
        after a minute is killed.
        """
        before = self.processes()
        os.killpg(self.pid, number)
        assert self._process, "not started"
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        _, left = psutil.wait_procs(before, timeout=STOP_S)
        _kill(left)
        return [process for process in left if process.pid != self.pid]

    @property
    def exit_status(self) -> int | None:
        return self._process.poll() if self._process else None

    def kill(self) -> None:
        """Kill (-9) everything at once, PostgreSQL and its supervisor included."""
        if self._process:
            _kill(self.processes())
            self._process.wait()


@contextmanager
def running_server(**environment: str) -> Iterator[Server]:
    """Start a server on an empty folder, wait until it is ready, and watch its memory until the block ends."""
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder:
        server = Server(Path(folder), **environment)
        stopped = threading.Event()
        try:
            server.start()
            threading.Thread(target=_watch, args=(server, stopped), daemon=True).start()
            yield server
        finally:
            stopped.set()
            if server.exit_status is None:
                server.stop()
            server.kill()


def _watch(server: Server, stopped: threading.Event) -> None:
    pause = _SAMPLE_S
    while not stopped.wait(pause):
        began = time.monotonic()
        try:
            server.memory_bytes()
        except psutil.Error:
            return
        # Adding up the pages of thirty processes takes a tenth of a second, which must not count among the work.
        pause = max(_SAMPLE_S, _SAMPLE_REST * (time.monotonic() - began))


def _with_children(process: psutil.Process) -> dict[int, psutil.Process]:
    try:
        return {process.pid: process} | {child.pid: child for child in process.children(recursive=True)}
    except psutil.Error:
        return {}


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _session_dirs(processes: Iterable[psutil.Process]) -> set[str]:
    """Find Ray's session folders in the arguments of processes."""
    words = (word for process in processes for word in _command_line(process).split())
    return {word.removeprefix("--session-dir=") for word in words if word.startswith("--session-dir=")}


def _kill(processes: Iterable[psutil.Process]) -> None:
    processes = list(processes)
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=STOP_S)
