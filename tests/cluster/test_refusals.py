"""Refused starts: the server names in one line what keeps it from starting."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.server import ROOT, free_port
from tests.support.album_client import until

pytestmark = pytest.mark.cluster

SERVE = [sys.executable, "-m", "serve_app"]


def _environment(data_dir: Path, **more: str) -> dict[str, str]:
    ports = {"DARKROOM_HTTP_PORT": str(free_port()), "DARKROOM_DASHBOARD_PORT": str(free_port())}
    return os.environ | {"DARKROOM_DATA_DIR": str(data_dir)} | ports | more


def _refusal(data_dir: Path, **environment: str) -> str:
    """What a start that must fail says."""
    ended = subprocess.run(
        SERVE, cwd=ROOT, env=_environment(data_dir, **environment), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if not line.startswith("Starting")]
    assert len(said) == 1, said
    return said[0]


@pytest.mark.weights
@pytest.mark.parametrize("variable", ["DARKROOM_HTTP_PORT", "DARKROOM_DASHBOARD_PORT"])
def test_a_taken_port_is_named_with_its_setting(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert _refusal(tmp_path, **{variable: port}) == (
            f"darkroom: Port {port} is taken; choose another with {variable}."
        )


def test_missing_weights_are_named_with_what_to_do(tmp_path: Path) -> None:
    folder = str(tmp_path / "nothing")
    said = _refusal(tmp_path, DARKROOM_WEIGHTS_DIR=folder)
    assert folder in said
    assert said.endswith("is missing: `make setup` fetches it.")


@pytest.mark.weights
def test_a_data_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = _refusal(tmp_path / "file" / "data")
    assert str(tmp_path / "file" / "data") in said
    assert "DARKROOM_DATA_DIR" in said


def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    said = _refusal(tmp_path, DARKROOM_LIMITS__MAX_IMAGES="many")
    assert said.startswith("darkroom: DARKROOM_LIMITS__MAX_IMAGES: ")


@pytest.mark.weights
def test_a_database_that_does_not_answer_is_said_and_nothing_keeps_running(tmp_path: Path) -> None:
    said = _refusal(tmp_path, DARKROOM_DATABASE_URL=f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none")
    assert "database" in said


@pytest.mark.weights
def test_ctrl_c_while_starting_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            SERVE, cwd=ROOT, env=_environment(tmp_path), stdout=out, stderr=out, start_new_session=True
        )
    until(lambda: _has_child(process.pid, "gcs_server"), "Ray comes up")
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert "Traceback" not in log.read_text()


def _has_child(pid: int, name: str) -> bool:
    return any(child.name() == name for child in psutil.Process(pid).children())
