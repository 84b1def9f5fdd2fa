"""docker/entrypoint.sh as a plain process; `python` is a stand-in that reports how it was called."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.container_files import ROOT

KEY = "0123456789abcdef"
NOBODY = 65534
STAND_IN = f"""#!{sys.executable} -IS
import json, os, signal, sys
arguments = sys.argv[1:]
if arguments[:2] == ["-m", "deployments.weights"]:
    assert arguments[2:4] == ["--check", "--dir"]
    sys.exit(0 if os.path.exists(arguments[4] + "/complete") else 1)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(json.dumps({{"pid": os.getpid(), "arguments": arguments}}), flush=True)
if "--wait" in arguments:
    signal.pause()
"""


class Container:
    """What the image sets, on folders of this machine."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.weights = folder / "weights"
        self.weights.mkdir()
        (self.weights / "complete").touch()
        self.script = folder / "entrypoint.sh"
        shutil.copy(ROOT / "docker/entrypoint.sh", self.script)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "python").write_text(STAND_IN)
        (programs / "python").chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "DARKROOM_DATA_DIR": str(self.data),
            "DARKROOM_WEIGHTS_DIR": str(self.weights),
            "DARKROOM_HTTP_HOST": "0.0.0.0",
            "DARKROOM_AUTH__MODE": "api_key",
            "DARKROOM_AUTH__ADMIN_KEY": KEY,
        }

    def start(self, *arguments: str, user: int | None = None, **changes: str | None) -> subprocess.Popen[str]:
        environment = {name: value for name, value in (self.environment | changes).items() if value is not None}
        command = ["sh", str(self.script), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, user=user, group=user)

    def run(self, *arguments: str, user: int | None = None, **changes: str | None) -> tuple[int, str, str]:
        """-> exit status, what it said on standard output and on standard error"""
        with self.start(*arguments, user=user, **changes) as process:
            output, errors = process.communicate(timeout=30)
        return process.returncode, output, errors


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_without_arguments_it_becomes_the_server(container: Container) -> None:
    status, output, errors = container.run()
    assert (status, errors) == (0, "")
    assert json.loads(output)["arguments"] == ["-m", "serve_app"]


def test_options_are_passed_to_the_server(container: Container) -> None:
    _, output, _ = container.run("--diffusion")
    assert json.loads(output)["arguments"] == ["-m", "serve_app", "--diffusion"]


def test_another_command_runs_as_it_is_whatever_is_set(container: Container) -> None:
    status, output, _ = container.run("sh", "-c", 'echo "$1"; exit 3', "-", "two words", DARKROOM_DATA_DIR=None)
    assert (status, output) == (3, "two words\n")


def test_a_signal_reaches_the_server_which_has_the_scripts_own_process(container: Container) -> None:
    with container.start("--wait") as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DARKROOM_DATA_DIR": None}, "DARKROOM_DATA_DIR is not set"),
        ({"DARKROOM_DATA_DIR": "/nowhere"}, "cannot write to /nowhere"),
        ({"DARKROOM_AUTH__ADMIN_KEY": None}, "DARKROOM_AUTH__ADMIN_KEY is not set"),
        ({"DARKROOM_AUTH__ADMIN_KEY": ""}, "DARKROOM_AUTH__ADMIN_KEY is not set"),
        ({"DARKROOM_AUTH__ADMIN_KEY": KEY[1:]}, "shorter than 16 characters"),
        ({"DARKROOM_DATABASE_URL": "postgres://user:secret@host/db"}, "does not begin with postgresql+asyncpg://"),
        ({"DARKROOM_DATABASE_URL": ""}, "does not begin with postgresql+asyncpg://"),
        ({"DARKROOM_WEIGHTS_DIR": None}, "DARKROOM_WEIGHTS_DIR is not set"),
        ({"DARKROOM_WEIGHTS_DIR": "/nowhere"}, "Model weights are missing"),
    ],
)
def test_a_missing_requirement_is_one_sentence_and_no_server(
    container: Container, changes: dict[str, str | None], said: str
) -> None:
    status, output, errors = container.run(**changes)
    assert (status, output) == (1, "")
    [line] = errors.splitlines()
    assert line.startswith("darkroom: ")
    assert said in line
    assert "secret" not in line


def test_without_keys_it_leaves_it_to_the_server_where_it_may_listen(container: Container) -> None:
    status, _, errors = container.run(DARKROOM_AUTH__MODE="disabled", DARKROOM_AUTH__ADMIN_KEY=None)
    assert (status, errors) == (0, "")


def test_the_operators_own_database_is_used(container: Container) -> None:
    assert container.run(DARKROOM_DATABASE_URL="postgresql+asyncpg://darkroom:x@database/darkroom")[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_volume_that_another_user_owns_is_named_with_the_command_that_helps() -> None:
    with tempfile.TemporaryDirectory(prefix="darkroom-", dir="/tmp") as folder:  # pytest's own is closed to others
        Path(folder).chmod(0o755)
        container = Container(Path(folder))
        container.data.chmod(0o755)
        status, _, errors = container.run(user=NOBODY)
        assert status == 1
        assert f"user {NOBODY} cannot write to {container.data}" in errors
        assert f"chown {NOBODY}:{NOBODY}" in errors
        os.chown(container.data, NOBODY, NOBODY)
        assert "cannot write" not in container.run(user=NOBODY)[2]
        assert container.run("sh", "-c", "id -u", user=NOBODY)[1] == f"{NOBODY}\n"
