"""A Ray cluster of this machine as the cluster files start it: by commands, its state in Valkey."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import yaml

from bench.faults.valkey import Valkey, running_valkey
from bench.server import ROOT, free_port

_START_S = 120.0
_END_S = 20.0
_STORE = "--object-store-memory=200000000"
_REPLICA = "ray::ServeReplica:darkroom:"
_NODE = ("--node-ip-address=127.0.0.1", _STORE)


@dataclass(frozen=True)
class RayCluster:
    """A head without replicas, one worker node, and the compact topology on it."""

    folder: str
    """Ray's own, by which its processes are known."""
    head: int
    """Number of the process of docker/ray-head.sh."""
    worker_url: str
    """URL of the worker's proxy."""
    head_url: str
    """URL of the head's proxy."""

    def gcs(self) -> psutil.Process:
        """Find GCS. Raises `LookupError` while there is none."""
        for process in psutil.Process(self.head).children(recursive=True):
            with suppress(psutil.Error):
                if process.name() == "gcs_server" and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        raise LookupError("no GCS")

    def replicas(self) -> dict[str, int]:
        """Map the deployments, which have a replica each, to the numbers of its process."""
        found = {}
        for process in _processes(self.folder):
            with suppress(psutil.Error):
                title = "".join(process.cmdline()[:1])
                if title.startswith(_REPLICA) and process.status() != psutil.STATUS_ZOMBIE:
                    found[title.removeprefix(_REPLICA).partition(".")[0]] = process.pid
        return found


@contextmanager
def running_cluster(program: str, folder: Path) -> Iterator[RayCluster]:
    """Start Valkey, a head by docker/ray-head.sh, a node with two processors, and deploy."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as ray_folder:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DARKROOM_DATA_DIR": str(folder / "data"),
            "RAY_TMPDIR": ray_folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        }
        with running_valkey(program, folder) as valkey:
            started: list[subprocess.Popen[bytes]] = []
            try:
                yield _start(started, valkey, environment, folder)
            finally:
                _end(ray_folder)
                for process in started:
                    process.wait(_END_S)


def _start(
    started: list[subprocess.Popen[bytes]], valkey: Valkey, environment: Mapping[str, str], folder: Path
) -> RayCluster:
    gcs_port, dashboard_port, head_port, worker_port = (free_port() for _ in range(4))
    head_command = ["sh", str(ROOT / "docker/ray-head.sh"), f"--port={gcs_port}", *_NODE, "--num-cpus=0"]
    head_command += ["--num-gpus=0", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
    stored = {"RAY_REDIS_ADDRESS": valkey.address, "REDIS_PASSWORD": valkey.password}
    started.append(_run(head_command, {**environment, **stored}, folder / "head.log"))
    _await_port(dashboard_port, folder / "head.log")
    worker_command = ["ray", "start", "--block", f"--address=127.0.0.1:{gcs_port}", *_NODE, "--num-cpus=2"]
    own = {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(worker_port), "RAY_gcs_rpc_server_reconnect_timeout_s": "600"}
    started.append(_run(worker_command, {**environment, **own}, folder / "worker.log"))
    config = yaml.safe_load((ROOT / "configs/local.yaml").read_text())
    config |= {"proxy_location": "EveryNode", "http_options": {"host": "127.0.0.1", "port": head_port}}
    config["applications"][0]["args"] = {"topology": "compact"}
    (folder / "serve.yaml").write_text(yaml.safe_dump(config))
    deploy = ["serve", "deploy", "-a", f"http://127.0.0.1:{dashboard_port}", str(folder / "serve.yaml")]
    done = subprocess.run(deploy, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    proxies = (f"http://127.0.0.1:{worker_port}", f"http://127.0.0.1:{head_port}")
    _await_ready(proxies[0])
    return RayCluster(environment["RAY_TMPDIR"], started[0].pid, *proxies)


def _run(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("w") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)


def _await_port(port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the head did not come up:\n{log.read_text()[-2000:]}")


def _await_ready(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=30, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
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
