"""Two diffusion replicas share one logical GPU, on a real Serve without HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("diffusers")

from bench.server import ROOT
from serve_app import gateway
from tests.support.tiny_diffusion import write_models

pytestmark = pytest.mark.cluster

START_S = 300


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, ray_folder: str) -> dict[str, Any]:
    """What `two_diffusers` saw."""
    folder = tmp_path_factory.mktemp("two-diffusers")
    models, out = write_models(folder / "models"), folder / "out"
    out.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": ray_folder}
    command = [sys.executable, "-m", "tests.support.two_diffusers", str(models), str(out)]
    with (folder / "log").open("w+") as log:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=START_S,
            check=False,
        )
        log.seek(0)
        assert done.returncode == 0, log.read()[-4000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(json.loads(line))


def test_both_replicas_are_placed_on_the_one_gpu_and_fill_it(seen: dict[str, Any]) -> None:
    assert len({cap["pid"] for cap in seen["caps"]}) == 2
    assert {cap["gpu"] for cap in seen["caps"]} == {"0"}
    assert seen["free_gpus"] == 0


def test_each_replica_caps_its_memory_at_its_half(seen: dict[str, Any]) -> None:
    assert [cap["share"] for cap in seen["caps"]] == [0.5, 0.5]


def test_pictures_stream_through_the_gateway_whatever_their_checkpoint(seen: dict[str, Any]) -> None:
    assert seen["steps"] == [3] * 6
    assert seen["checkpoints"] == ["tiny", "tiny-other"] * 3


def test_a_client_that_leaves_makes_room(seen: dict[str, Any]) -> None:
    assert seen["after_leaving"] == [3] * 4


def test_refusals_hints_and_lists_pass_through(seen: dict[str, Any]) -> None:
    assert "multiples of 8" in seen["refused"]
    assert seen["hint"] == [48, 64, 3]
    assert seen["models"] == ["tiny", "tiny-other"]


def test_a_picture_in_progress_is_seen_whichever_replica_makes_it(seen: dict[str, Any]) -> None:
    assert seen["looked"] == [True, True, 150, [4, 64, 64]]


def test_a_replica_that_hangs_hides_its_own_pictures_only_and_holds_nobody_for_long(seen: dict[str, Any]) -> None:
    (own, own_s), (others, others_s) = seen["hanging"]
    assert (own, others) == (False, True)
    assert others_s < gateway._PEEK_S <= own_s < 4 * gateway._PEEK_S


def test_a_replica_that_died_hides_no_picture_of_another(seen: dict[str, Any]) -> None:
    assert seen["after_death"]
