"""A Ray cluster of this machine as the cluster files start it: a head and a node by commands, then `serve deploy`."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from bench.ending import end_by_sigterm_too
from bench.faults.valkey import Valkey, listens_within
from bench.server import ROOT
from serve_app.local_ray import free_port

_START_S = 240.0
_END_S = 20.0
_POLL_S = 0.2
_REPLICA = "ray::ServeReplica:darkroom:"
_NODE = ("--node-ip-address=127.0.0.1", "--object-store-memory=200000000")


@dataclass(frozen=True)
class RayCluster:
    """A head without replicas, and one node with all of them."""

    folder: str
    """Ray's own, by which its processes are known."""
    head: int
    """Number of the process of docker/ray-head.sh."""
    url: str
    """URL of the node's proxy."""
    head_url: str
    """URL of the head's proxy."""
    dashboard: str
    token: str

    def gcs(self) -> psutil.Process:
        """Find GCS. Raises `LookupError` while there is none."""
        for process in psutil.Process(self.head).children(recursive=True):
            with suppress(psutil.Error):
                if process.name() == "gcs_server" and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        raise LookupError("no GCS")

    def replicas(self) -> dict[str, int]:
        """Map the deployments, where they have a replica each, to the numbers of its process."""
        found = {}
        for process in _processes(self.folder):
            with suppress(psutil.Error):
                title = "".join(process.cmdline()[:1])
                if title.startswith(_REPLICA) and process.status() != psutil.STATUS_ZOMBIE:
                    found[title.removeprefix(_REPLICA).partition(".")[0]] = process.pid
        return found

    def running(self) -> dict[str, int]:
        """Count the running replicas of each deployment, as Serve does."""
        answer = httpx.get(
            f"{self.dashboard}/api/serve/applications/",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )
        answer.raise_for_status()
        deployments = answer.json()["applications"]["darkroom"]["deployments"]
        return {
            name: sum(replica["state"] == "RUNNING" for replica in one["replicas"]) for name, one in deployments.items()
        }


@contextmanager
def running_cluster(
    folder: Path,
    config: Mapping[str, Any],
    node: Sequence[str],
    store: Valkey | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RayCluster]:
    """Start a head by docker/ray-head.sh and a node with these options of `ray start`, and deploy a Serve config.

    `store`: where the head keeps its state. The ports of `config` are chosen here. Ready when /readyz is. From here on
    SIGTERM ends this process as Ctrl-C does, since Ray's processes would go on.
    """
    end_by_sigterm_too()
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as ray_folder:
        own = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DARKROOM_DATA_DIR": str(folder / "data"),
            "RAY_TMPDIR": ray_folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{_START_S:.0f}",  # Ray's own minute is too short on a busy machine
            "RAY_worker_niceness": "0",
        }
        try:
            yield _start(started, folder, config, node, store, {**os.environ, **own, **(environment or {})})
        finally:
            _end(ray_folder)
            for process in started:
                process.wait(_END_S)


def _start(
    started: list[subprocess.Popen[bytes]],
    folder: Path,
    config: Mapping[str, Any],
    node: Sequence[str],
    store: Valkey | None,
    environment: Mapping[str, str],
) -> RayCluster:
    gcs_port, dashboard_port, head_port, node_port = (free_port() for _ in range(4))
    dashboard = f"http://127.0.0.1:{dashboard_port}"
    stored = {"RAY_REDIS_ADDRESS": store.address, "REDIS_PASSWORD": store.password} if store else {}
    command = ["sh", str(ROOT / "docker/ray-head.sh"), f"--port={gcs_port}", *_NODE, "--num-cpus=0", "--num-gpus=0"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
    started.append(_run(command, {**environment, **stored}, folder / "head.log"))
    _await_port(dashboard_port, folder / "head.log")
    command = ["ray", "start", "--block", f"--address=127.0.0.1:{gcs_port}", *_NODE, *node]
    own = {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(node_port), "RAY_gcs_rpc_server_reconnect_timeout_s": "600"}
    started.append(_run(command, {**environment, **own}, folder / "node.log"))
    file = folder / "serve.yaml"
    http = {**config.get("http_options", {}), "host": "127.0.0.1", "port": head_port}
    file.write_text(yaml.safe_dump({**config, "proxy_location": "EveryNode", "http_options": http}))
    _deploy(["serve", "deploy", "-a", dashboard, str(file)], environment)
    proxies = (f"http://127.0.0.1:{node_port}", f"http://127.0.0.1:{head_port}")
    _await_ready(proxies[0])
    token = environment["RAY_AUTH_TOKEN"]
    return RayCluster(environment["RAY_TMPDIR"], started[0].pid, *proxies, dashboard, token)


def _run(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("w") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)


def _deploy(command: list[str], environment: Mapping[str, str]) -> None:
    """Deploy, again and again while the dashboard listens and does not answer yet."""
    deadline = time.monotonic() + _START_S
    while True:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the application was not taken:\n{done.stderr[-2000:]}")
        time.sleep(_POLL_S)


def _await_port(port: int, log: Path) -> None:
    if not listens_within(port, _START_S):
        raise RuntimeError(f"the head did not come up:\n{log.read_text()[-2000:]}")


def _await_ready(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=30, trust_env=False).status_code == 200:
                return
        time.sleep(_POLL_S)
    raise RuntimeError("the application was not ready")


def _processes(folder: str) -> list[psutil.Process]:
    """List the processes whose environment names Ray's folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("RAY_TMPDIR") == folder:
                found.append(process)
    return found


def _end(folder: str) -> None:
    """Kill all processes of the cluster, and those that they start meanwhile."""
    deadline = time.monotonic() + _END_S
    while (found := _processes(folder)) and time.monotonic() < deadline:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=_END_S)
