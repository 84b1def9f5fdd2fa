"""Program that fills a real Serve replica with user work, and checks its health as Serve's controller does.

A program of its own, not a fixture: Ray's settings must stand before it is imported, which pytest has done by then.
It prints one JSON line: how many calls were under way at each check, and what the checks said.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_LOG_TO_DRIVER": "0",
    "RAY_worker_niceness": "0",
}

import numpy as np
import ray
from ray import serve

from configs.settings import Settings
from configs.styles import Style
from deployments.contracts.arrays import Image
from deployments.contracts.styles import LOCAL_ENGINE, StyleTask
from deployments.kit import checks
from deployments.stylization import StylizingDeployment
from serve_app.graph import make_deployment
from serve_app.remote_calls import remotely_callable

USER_PX = 64
"""Side of the images that users send, not that of the check's own, pixels."""
CALLS = 6
ROOM = 2
TIMEOUT_S = 60.0


class HeldStylizing(StylizingDeployment):
    """The real deployment, whose engine holds users' images until the file `go` is there, and breaks with `broken`."""

    def __init__(self, folder: str) -> None:
        super().__init__(Settings())
        checks.PROOF_S = 0.0  # each check draws
        self._folder = Path(folder)
        self._engine = self._local.render
        self._local.render = self._render  # type: ignore[method-assign]

    def _render(self, image: Image, style: Style, *others: Any) -> Image:
        if len(image) == USER_PX:
            (self._folder / f"begun-{time.monotonic_ns()}").touch()
            wait_for(self._folder / "go")
        if (self._folder / "broken").exists():
            raise RuntimeError("the engine is broken")
        return self._engine(image, style, *others)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path.name)
        time.sleep(0.05)


def check(replica: Any) -> str:
    """Check the health of a replica by the method that Serve's controller calls. -> "" or what is wrong"""
    try:
        ray.get(replica.check_health.remote(), timeout=TIMEOUT_S / 2)
    except Exception as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, namespace="serve")
    try:
        serve.start(proxy_location="Disabled")
        held = make_deployment(remotely_callable(HeldStylizing), drain_s=(0.2, 1.0), name="Held", max_ongoing=ROOM)
        handle = serve.run(held.bind(str(folder)), name="busy", route_prefix=None)
        task = StyleTask(np.zeros((USER_PX, USER_PX, 3), np.uint8), "pencil", "")
        calls: list[Any] = [handle.stylize.remote(LOCAL_ENGINE, task) for _ in range(CALLS)]
        [name] = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if "#Held#" in one["name"]]
        replica = ray.get_actor(name, namespace="serve")
        deadline = time.monotonic() + TIMEOUT_S
        while ray.get(replica.get_num_ongoing_requests.remote()) < ROOM or not list(folder.glob("begun-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        busy = check(replica)
        under_way = ray.get(replica.get_num_ongoing_requests.remote())
        (folder / "broken").touch()
        broken = check(replica)
        (folder / "go").touch()
        (folder / "broken").unlink()
        for call in calls:
            call.result(timeout_s=TIMEOUT_S)
        sys.stdout.write(json.dumps({"under_way": under_way, "busy": busy, "broken": broken}) + "\n")
        sys.stdout.flush()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
