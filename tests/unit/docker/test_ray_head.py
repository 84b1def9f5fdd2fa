"""docker/ray-head.sh with a stand-in for `ray`: tests/cluster/test_lost_head.py runs it with the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.container_files import ROOT

PATIENCE_S = 30.0
RAY = """#!/bin/sh
echo "$@" >> "$CALLS"
exec sleep 600
"""


@dataclass
class Head:
    process: subprocess.Popen[bytes]
    calls: Path

    def seen(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def ray(self) -> psutil.Process | None:
        children = psutil.Process(self.process.pid).children()
        return next((child for child in children if child.name() == "sleep" and "600" in child.cmdline()), None)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    program = tmp_path / "ray"
    program.write_text(RAY)
    program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "RAY_TMPDIR": str(tmp_path),
        "REDIS_PASSWORD": "c0ffee",
    }
    with subprocess.Popen(["sh", str(ROOT / "docker/ray-head.sh"), "--port=6379"], env=environment) as process:
        try:
            yield Head(process, tmp_path / "calls")
        finally:
            process.terminate()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ray_gets_the_arguments_and_the_password(head: Head) -> None:
    until(head.seen)
    assert head.seen() == ["start --head --block --redis-password=c0ffee --port=6379"]


def test_a_head_that_ended_is_started_again(head: Head) -> None:
    until(head.ray)
    (ray := head.ray()) and ray.kill()
    until(lambda: len(head.seen()) == 2)


def test_sigterm_ends_the_head_for_good(head: Head) -> None:
    until(head.ray)
    ray = head.ray()
    head.process.send_signal(signal.SIGTERM)
    assert head.process.wait(PATIENCE_S) == 143
    assert ray
    assert not ray.is_running()
