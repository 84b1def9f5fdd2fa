"""The split topology, a deployment for each capability, on a cluster of two nodes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import httpx
import pytest

from bench.server import ROOT, free_port
from tests.support.album_client import (
    album_when_analysed,
    assert_all_embedded,
    many_copies,
    start_album,
    until,
    upload,
)

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

CAPABILITIES = {
    "Embedding",
    "Tagging",
    "Faces",
    "Clustering",
    "Dedup",
    "Stylizing",
    "Prompting",
    "Segmentation",
    "Avatars",
    "Texts",
}
CHECKED = CAPABILITIES - {"Prompting"}
"""Those that /readyz calls, so that each has served something."""
DEPLOYMENTS = {"Ingress", "Worker", *CAPABILITIES}


@dataclass
class TwoNodes:
    proxies: tuple[str, str]
    replicas: dict[str, str]
    """Deployment -> id of the node that its replica is on."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, ray_folder: str) -> Iterator[TwoNodes]:
    folder = tmp_path_factory.mktemp("two-nodes")
    ports = (free_port(), free_port())
    environment = os.environ | {"DARKROOM_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), "RAY_TMPDIR": ray_folder}
    command = [sys.executable, "-m", "tests.support.two_nodes", *map(str, ports)]
    with (
        (folder / "two_nodes.log").open("w+") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        try:
            yield TwoNodes((f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"), _replicas(process.stdout))
        finally:
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _replicas(output: IO[str]) -> dict[str, str]:
    for line in output:
        if line.startswith("{"):
            return dict(json.loads(line)["replicas"])
    raise RuntimeError("the cluster did not come up")


def test_each_capability_is_a_deployment_of_its_own(cluster: TwoNodes) -> None:
    assert set(cluster.replicas) == DEPLOYMENTS


def test_replicas_live_on_both_nodes(cluster: TwoNodes) -> None:
    assert len(set(cluster.replicas.values())) == 2


def test_the_proxy_of_each_node_answers_for_every_capability(cluster: TwoNodes) -> None:
    for proxy in cluster.proxies:
        ready = httpx.get(f"{proxy}/readyz", timeout=60, trust_env=False)
        assert ready.status_code == 200, ready.text
        assert all(part["ok"] for part in ready.json()["checks"].values())


def test_an_album_posted_through_one_node_is_found_through_the_other(cluster: TwoNodes) -> None:
    first, second = (
        httpx.Client(base_url=f"{proxy}/api/v1", timeout=120, trust_env=False) for proxy in cluster.proxies
    )
    with first, second:
        urls = list(upload(first, many_copies(6, salt=9)).values())
        start_album(first, "split", urls)
        assert_all_embedded(album_when_analysed(second, "split"), urls)
        duplicates = second.post("/albums/duplicates", json={"album_id": "split"}).json()["duplicates"]
        assert [set(group) for group in duplicates.values()] == [set(urls)]


def test_metrics_of_either_ingress_are_those_of_the_replicas_on_both_nodes(cluster: TwoNodes) -> None:
    for proxy in cluster.proxies:

        def counted(proxy: str = proxy) -> bool:
            page = httpx.get(f"{proxy}/metrics", timeout=60, trust_env=False).text
            lines = [line for line in page.splitlines() if line.startswith("ray_darkroom_served_calls_total{")]
            return {deployment for line in lines for deployment in re.findall(r'deployment="(\w+)"', line)} >= CHECKED

        until(counted, f"{proxy} shows the calls of every capability")
