"""Program that fills a node with replicas as configs/production.yaml places them, and kills the one of Clustering.

The replicas do nothing: it is about who gets the place that was left, while more replicas of others wait than there is
room for. A program of its own, not a fixture: Ray's settings must stand before it is imported, which pytest has done by
then. It prints one JSON line: replicas of each deployment before and after, once Clustering is back or was awaited in
vain. With the argument `shared` the deployments have no places of their own.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_LOG_TO_DRIVER": "0",
    "RAY_worker_niceness": "0",
}

import psutil
import ray
import yaml
from ray import serve
from ray.serve.api import _run as start_without_waiting

ROLES = ("Faces", "Dedup", "Clustering")
WAIT_S = 90.0
_NODE_MEMORY = 40 * 2**30


class Idle:
    """A replica that takes its place and does nothing."""


def entries() -> dict[str, dict[str, Any]]:
    path = Path(__file__).parents[2] / "configs/production.yaml"
    [application] = yaml.safe_load(path.read_text())["applications"]
    return {entry["name"]: entry for entry in application["deployments"] if entry["name"] in ROLES}


def start(name: str, entry: dict[str, Any], *, has_places: bool) -> None:
    """Ask for as many replicas as the load may, but for those of Clustering."""
    scaling = entry["autoscaling_config"]
    deployment = serve.deployment(
        Idle,
        name=name,
        num_replicas=scaling["min_replicas" if name == "Clustering" else "max_replicas"],
        ray_actor_options=entry["ray_actor_options"],
        max_replicas_per_node=entry["max_replicas_per_node"] if has_places else None,
    )
    start_without_waiting(deployment.bind(), _blocking=False, name=name, route_prefix=None)


def replicas() -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {name: [] for name in ROLES}
    for process in psutil.Process().children(recursive=True):
        try:
            title = "".join(process.cmdline()[:1])
        except psutil.Error:
            continue
        for name in ROLES:
            if title.startswith(f"ray::ServeReplica:{name}:{name}"):
                found[name].append(process)
    return found


def taken(files: dict[str, dict[str, Any]]) -> float:
    """Processors of the replicas that have started."""
    return float(sum(len(found) * files[name]["ray_actor_options"]["num_cpus"] for name, found in replicas().items()))


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def main(*, has_places: bool) -> None:
    files = entries()
    room = sum(entry["max_replicas_per_node"] * entry["ray_actor_options"]["num_cpus"] for entry in files.values())
    ray.init(
        num_cpus=int(room),
        resources={"cpu_node": 1},
        _memory=_NODE_MEMORY,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        namespace="serve",
    )
    try:
        serve.start(proxy_location="Disabled")
        start("Clustering", files["Clustering"], has_places=has_places)
        assert until(lambda: len(replicas()["Clustering"]) == 1)
        for name in ("Faces", "Dedup"):
            start(name, files[name], has_places=has_places)
        assert until(lambda: taken(files) == room)
        before = replicas()
        [victim] = before["Clustering"]
        victim.kill()
        until(lambda: bool({one.pid for one in replicas()["Clustering"]} - {victim.pid}))
        after = {name: [one for one in found if one.pid != victim.pid] for name, found in replicas().items()}
        counted = [{name: len(found) for name, found in seen.items()} for seen in (before, after)]
        sys.stdout.write(json.dumps({"before": counted[0], "after": counted[1]}) + "\n")
        sys.stdout.flush()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(has_places="shared" not in sys.argv[1:])
