"""The split topology on two Ray nodes of this machine, until SIGTERM: `python -m bench.faults.two_nodes`.

Settings come from the environment, as for `python -m serve_app`. The id of the second node's raylet stands in the file
`second_node` of the data folder. When that node is killed nobody replaces it before SIGUSR1 comes.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bench.report import no_arguments
from configs.settings import Settings
from serve_app import local_ray
from serve_app.front_door import FrontDoor, find_haproxy

READY = "Two nodes are ready"
PID_FILE = "second_node"
_CPUS = 1
"""CPUs of a node. All replicas need more than one, so that some live on the second and wait while it is away."""
_STORE_BYTES = 200 * 2**20
_WATCH_S = 1.0


def main() -> None:
    no_arguments(__doc__)
    settings = Settings()
    os.environ.setdefault("RAY_LOG_TO_DRIVER", "0")
    local_ray.set_defaults(settings)
    from ray import serve
    from ray.cluster_utils import Cluster
    from ray.serve.schema import LoggingConfig

    from serve_app.graph import Args, build

    head = {"num_cpus": _CPUS, "object_store_memory": _STORE_BYTES, "include_dashboard": True}
    cluster: Any = Cluster(initialize_head=True, head_node_args={**head, "dashboard_port": settings.dashboard_port})
    _add_node(cluster, settings.data_dir)
    cluster.connect(namespace="serve")
    port = local_ray.free_port()
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": "127.0.0.1", "port": port},
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
    )
    serve.run(build(Args(topology="split")), name="darkroom")
    haproxy = find_haproxy()
    if haproxy is None:
        raise SystemExit("HAProxy is not there: its package is for Linux")
    door = FrontDoor(haproxy, settings.front_door, f"127.0.0.1:{port}")
    door.start(settings.http_host, settings.http_port)
    arrived: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _frame: arrived.put(number))
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    while _next_signal(arrived, door) == signal.SIGUSR1:
        _add_node(cluster, settings.data_dir)
    door.stop()
    cluster.shutdown()


def _next_signal(arrived: SimpleQueue[int], door: FrontDoor) -> int:
    """Wait for a signal, and keep the door open meanwhile."""
    while True:
        try:
            return arrived.get(timeout=_WATCH_S)
        except Empty:
            door.restart_if_ended()


def _add_node(cluster: Any, folder: Path) -> None:
    node = cluster.add_node(num_cpus=_CPUS, object_store_memory=_STORE_BYTES)
    [raylet] = node.all_processes["raylet"]
    partial = folder / f"{PID_FILE}.new"
    partial.write_text(str(raylet.process.pid))
    partial.replace(folder / PID_FILE)


if __name__ == "__main__":
    main()
