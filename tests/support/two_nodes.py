"""Program that runs the split topology on two Ray nodes of this machine until its standard input ends.

A program of its own, not a fixture: Ray's settings must stand before it is imported, which pytest has done by then.
It prints one JSON line when all is well: the nodes' proxies, and the node of each replica.
"""

from __future__ import annotations

import json
import os
import secrets
import sys

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_LOG_TO_DRIVER": "0",
    "RAY_worker_niceness": "0",
}

import ray
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.schema import LoggingConfig
from ray.util.state import list_actors

from serve_app.graph import Args, build

CPUS = 1
"""CPUs of a node: too few for all replicas, so that some must live on the other."""


def main(first_port: int, second_port: int) -> None:
    quiet = {"include_dashboard": True, "dashboard_port": 0, "object_store_memory": 200 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": CPUS, **quiet})
    second = {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(second_port)}
    cluster.add_node(num_cpus=CPUS, object_store_memory=200 * 2**20, env_vars=second)
    cluster.connect(namespace="serve")
    try:
        serve.start(
            proxy_location="EveryNode",
            http_options={"host": "127.0.0.1", "port": first_port},
            logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
        )
        serve.run(build(Args(topology="split")), name="darkroom")
        replicas = {
            actor.name.split("#")[1]: actor.node_id
            for actor in list_actors(filters=[("state", "=", "ALIVE")])
            if actor.name.startswith("SERVE_REPLICA::")
        }
        sys.stdout.write(json.dumps({"replicas": replicas}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        serve.delete("darkroom")
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
