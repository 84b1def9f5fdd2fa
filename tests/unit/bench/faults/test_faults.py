"""The order of faults, and what they do to processes of this test's own."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import psutil
import pytest

from bench.faults.faults import draw
from bench.faults.parts import parts
from bench.faults.topologies import Topology
from bench.server import Server

PARTS = ["Bundle", "Ingress", "Worker", "PostgreSQL", "controller", "front door", "proxy"]


class TreeOf(Server):
    """A server whose processes are those given."""

    def __init__(self, folder: Path, *found: psutil.Process) -> None:
        super().__init__(folder)
        self._found = list(found)

    def processes(self) -> list[psutil.Process]:
        return self._found


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[psutil.Process]:
    """A process that bears the door's name and sleeps."""
    program = tmp_path / "haproxy"
    shutil.copy(sys.executable, program)
    library = {"PYTHONHOME": sys.base_prefix}
    with subprocess.Popen([program, "-c", "import time; print('on', flush=True); time.sleep(60)"],
                          env=library, stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def test_every_part_is_killed_once_and_each_other_fault_comes_once(tmp_path: Path) -> None:
    names = [fault.name for fault in draw(random.Random(1), PARTS, tmp_path, "split")]
    assert len(set(names)) == len(names)
    assert {f"{part} killed" for part in PARTS} < set(names)
    for word in ("PostgreSQL stopped", "disk full", "database slow", "second node"):
        assert sum(word in name for name in names) == 1


def test_the_same_seed_draws_the_same_faults_in_the_same_order(tmp_path: Path) -> None:
    first, second = (draw(random.Random(7), parts, tmp_path, "compact") for parts in (PARTS, PARTS[::-1]))
    assert [(fault.name, fault.lasts_s) for fault in first] == [(fault.name, fault.lasts_s) for fault in second]


@pytest.mark.parametrize("topology", get_args(Topology))
def test_gcs_is_killed_where_its_state_is_stored_and_nowhere_else(topology: Topology) -> None:
    names = [fault.name for fault in draw(random.Random(1), [*PARTS, "GCS"], None, topology)]
    assert names.count("GCS killed") == (topology == "stored-head")
    assert not any("GCS" in name for name in names if name != "GCS killed"), "it is no replica"


def test_other_seeds_draw_other_orders() -> None:
    orders = {tuple(fault.name for fault in draw(random.Random(seed), PARTS, None, "compact")) for seed in range(5)}
    assert len(orders) > 1


def test_a_part_is_killed_and_must_be_replaced(tmp_path: Path, proxy: psutil.Process) -> None:
    server = TreeOf(tmp_path, proxy)
    assert parts(server) == {"front door": [proxy]}
    faults = draw(random.Random(1), ["Bundle", "front door"], None, "compact")
    [fault] = [fault for fault in faults if "door" in fault.name]
    with fault.inflict(server) as gone:
        assert gone == [proxy]
        assert parts(server) == {}


def test_a_full_disk_takes_nothing_more_and_is_empty_again_after(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        faults = draw(random.Random(1), ["Bundle"], folder, "compact")
        [fault] = [fault for fault in faults if fault.name == "disk full"]
        with fault.inflict(TreeOf(tmp_path)), pytest.raises(OSError, match="No space left"):
            (folder / "file").write_bytes(b"x" * 4096)
        (folder / "file").write_bytes(b"x" * 4096)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
