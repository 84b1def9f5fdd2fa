"""Measurements that are ended by SIGTERM end the servers that they have started."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.ending import end_by_sigterm_too
from bench.server import ROOT

_SERVER = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
served = http.server.HTTPServer(("127.0.0.1", int(os.environ["DARKROOM_HTTP_PORT"])), Ready)
print("up", flush=True)
served.serve_forever()
"""
_MEASUREMENT = f"""
import asyncio, pathlib, sys, time
from bench.server import Server
server = Server(pathlib.Path(sys.argv[1]), (sys.executable, "-c", {_SERVER!r}), "up")
async def measure():
    try:
        print(server.pid, flush=True)
        await asyncio.sleep(600)
    finally:
        print("closed", flush=True)
def wait():
    print(server.pid, flush=True)
    time.sleep(600)
try:
    server.start()
    asyncio.run(measure()) if sys.argv[2] == "loop" else wait()
finally:
    print("ending", flush=True)
    sys.stdin.readline()
    server.kill()
    print("ended", flush=True)
"""


@contextmanager
def measuring(folder: Path, how: str, *, in_background: bool) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A measurement under way, and its server; a shell's background has Ctrl-C ignored."""
    before = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" if in_background else ""
    command = [sys.executable, "-c", f"{before}\n{_MEASUREMENT}", str(folder), how]
    pipe = subprocess.PIPE
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=nothing, text=True) as process:
        assert process.stdout
        server = psutil.Process(int(process.stdout.readline()))
        try:
            yield process, server
        finally:
            process.kill()
            if server.is_running():
                server.kill()


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("how", ["loop", "no loop"])
def test_a_measurement_that_is_told_to_end_ends_its_server(tmp_path: Path, how: str, in_background: bool) -> None:
    with measuring(tmp_path, how, in_background=in_background) as (process, server):
        assert process.stdin
        assert process.stdout
        process.send_signal(signal.SIGTERM)
        said = [process.stdout.readline()]
        if how == "loop" and not in_background:
            assert said == ["closed\n"]
        while said[-1] not in ("ending\n", ""):
            said.append(process.stdout.readline())
        assert said[-1] == "ending\n"
        process.send_signal(signal.SIGTERM)  # as `timeout` does
        process.stdin.write("\n")
        process.stdin.flush()
        assert "ended\n" in process.stdout.readlines()
        assert process.wait(60) != 0
        assert not server.is_running()


def test_whoever_handles_sigterm_already_goes_on_to_do_so() -> None:
    def own(_number: int, _frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        end_by_sigterm_too()
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
