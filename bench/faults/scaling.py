"""Replicas against load, up and down: `python -m bench.faults.scaling`.

configs/production.yaml runs on one node of this machine, with the weights of the local profile and shorter delays. Two
users post an album now and then, then many at once, then none until all is done and the replicas are the fewest again.
Meanwhile Serve's replicas and the queue are looked at. The passage of docs/operations.md and its plots are written anew
unless `--no-page` is given. Exit status 1 when a call was refused or a job failed.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.faults import scaling_page
from bench.faults.by_commands import RayCluster, running_cluster
from bench.faults.client import JOB_ENDS, Client
from bench.faults.faults import connect
from bench.faults.journal import Answer, Journal, read
from bench.faults.pictures import Pictures
from bench.report import Report
from bench.server import ROOT

LOCAL = ("DARKROOM_EMBEDDING__ENGINE", "DARKROOM_FACES__ENGINE", "DARKROOM_DIFFUSION__DEVICE")
"""Variables of production that ask for weights which are not at hand."""
_NODE = ("--num-cpus=32", '--resources={"cpu_node": 1}', "--memory=42949672960")
"""A CPU node of cluster.yaml, in Ray's books."""
_LOOK_S = 2.0
_UP_S, _DOWN_S = 5.0, 15.0
"""Serve's delays: production's are 10 to 30 s and some minutes."""
_QUEUE = """SELECT count(*) FILTER (WHERE status = 'queued' AND run_after <= now()) AS waiting,
  coalesce(extract(epoch FROM now() - min(run_after) FILTER (WHERE status = 'queued' AND run_after <= now())), 0) AS age
  FROM jobs"""


@dataclass(frozen=True)
class Look:
    at_s: float
    replicas: dict[str, int]
    waiting: int
    """Jobs that are due and that no worker has taken."""
    oldest_s: float


@dataclass
class Run:
    """What was recorded."""

    looks: list[Look] = field(default_factory=list)
    rush_s: tuple[float, float] = (0.0, 0.0)
    done_s: float = 0.0
    albums: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    """Ends of all jobs, the follow-ups among them."""


def main() -> int:
    """Run the command. -> exit status"""
    parser = argparse.ArgumentParser(prog="python -m bench.faults.scaling", description=__doc__.partition("\n")[0])
    parser.add_argument("--calm", type=float, default=15.0, help="seconds with an album now and then")
    parser.add_argument("--albums", type=int, default=24, help="albums posted at once")
    parser.add_argument("--pictures", type=int, default=8, help="pictures of each")
    parser.add_argument("--patience", type=float, default=240.0, help="seconds for all to be done and to shrink")
    parser.add_argument("--no-page", action="store_true", help="leave docs/operations.md as it is")
    options = parser.parse_args()
    key = secrets.token_urlsafe(24)
    keys = {"DARKROOM_AUTH__ADMIN_KEY": key, "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2"}
    with tempfile.TemporaryDirectory(prefix="scaling-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running_cluster(folder, configuration(), _NODE, environment=keys) as cluster:
            run = _record(cluster, folder, key, options)
    report = Report("scaling")
    good = scaling_page.report_on(report, run)
    report.finish()
    if not options.no_page:
        scaling_page.write(ROOT / "docs", run, options)
    return 0 if good else 1


def configuration() -> dict[str, Any]:
    """Make production's Serve configuration one for a machine without its weights and GPUs, and less patient."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "configs/production.yaml").read_text())
    [application] = config["applications"]
    application["args"]["diffusion"] = False
    variables = application["runtime_env"]["env_vars"]
    for name in (*LOCAL, "DARKROOM_DATABASE__MIGRATE_AT_START"):
        del variables[name]
    application["deployments"] = [one for one in application["deployments"] if one["name"] != "Diffusion"]
    for one in application["deployments"]:
        one["autoscaling_config"] |= {"upscale_delay_s": _UP_S, "downscale_delay_s": _DOWN_S}
    return config


def _record(cluster: RayCluster, folder: Path, key: str, options: argparse.Namespace) -> Run:
    run = Run()
    fewest = cluster.running()
    over = threading.Event()
    looking = threading.Thread(target=_look, args=[cluster, folder / "data", run, over])
    with Journal(folder / "journal") as journal:
        users = _users(cluster, key, journal)
        began = time.monotonic()
        looking.start()
        try:
            _load(users, run, began, options)
            deadline = began + options.calm + options.patience
            while time.monotonic() < deadline and not _all_ended(folder / "data", run):
                time.sleep(_LOOK_S)
            run.done_s = time.monotonic() - began
            while time.monotonic() < deadline and cluster.running() != fewest:
                time.sleep(_LOOK_S)
        finally:
            over.set()
            looking.join()
            for user in users:
                user.close()
    run.answers = Counter(entry.status for entry in read(folder / "journal") if isinstance(entry, Answer))
    return run


def _users(cluster: RayCluster, key: str, journal: Journal) -> list[Client]:
    admin = Client(cluster.url, key, -1)
    made = []
    for number in range(2):
        account = {"username": f"user-{number}", "email": f"user-{number}@example.org"}
        made.append(admin.call("user", "POST", "/users", json=account).json()["api_key"])
    admin.close()
    return [Client(cluster.url, one, number, journal) for number, one in enumerate(made)]


def _load(users: list[Client], run: Run, began: float, options: argparse.Namespace) -> None:
    """Post an album every few seconds, then many at once."""
    pictures = Pictures(1)

    def post(number: int) -> None:
        user = users[number % len(users)]
        numbers = range(number * options.pictures, (number + 1) * options.pictures)
        urls = user.upload(*(pictures(user.user, each) for each in numbers))
        user.start("post", "/albums/embeddings", {"album_id": f"album-{number}", "images": urls})
        run.albums += 1

    while time.monotonic() - began < options.calm:
        post(run.albums)
        time.sleep(options.calm / 3)
    first = time.monotonic() - began
    for _ in range(options.albums):
        post(run.albums)
    run.rush_s = (first, time.monotonic() - began)


def _look(cluster: RayCluster, data: Path, run: Run, over: threading.Event) -> None:
    began = time.monotonic()
    while not over.is_set():
        [(waiting, oldest_s)] = _ask(data, _QUEUE)
        run.looks.append(Look(time.monotonic() - began, cluster.running(), waiting, float(oldest_s)))
        over.wait(_LOOK_S)


def _all_ended(data: Path, run: Run) -> bool:
    run.outcomes = Counter(dict(_ask(data, _STATUSES)))
    return set(run.outcomes) <= JOB_ENDS


_STATUSES = "SELECT status, count(*) FROM jobs GROUP BY status"


def _ask(data: Path, query: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await connect(data)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(ask())


if __name__ == "__main__":
    sys.exit(main())
