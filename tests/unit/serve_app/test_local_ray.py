"""Variables of a local Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray._private import services
from ray._private.accelerators import RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR

from configs.settings import Runtime, Settings
from deployments.errors import Unavailable
from serve_app import local_ray
from serve_app.local_ray import variables
from tests.support.container_files import variables as image_variables


def test_serve_takes_a_silent_proxy_for_dead_within_ten_seconds() -> None:
    program = (
        "from ray.serve._private import constants as c;"
        "print(c.PROXY_HEALTH_CHECK_PERIOD_S * c.PROXY_HEALTH_CHECK_UNHEALTHY_THRESHOLD)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | variables(Settings()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) <= 10


def test_blas_takes_one_thread_in_a_process_of_the_server_however_many_models_run_side_by_side() -> None:
    program = "import numpy, threadpoolctl; print({one['num_threads'] for one in threadpoolctl.threadpool_info()})"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | variables(Settings(runtime=Runtime(threads=4))),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "{1}"
    assert image_variables("python")["OPENBLAS_NUM_THREADS"] == "1", "where Ray gives a replica two cores"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The current node timed out during startup. This could happen\nbecause", "The current node timed out"),
        (
            "\nThe last 20 lines of x.log (it contains the error message from the dashboard): \nINFO",
            "its dashboard did",
        ),
        ("", "RuntimeError"),
    ],
)
def test_a_ray_that_does_not_start_is_one_line_with_its_logs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, told: str
) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        local_ray.start(Settings())
    assert caught.value.message.startswith(f"Ray did not start: {told}")
    assert caught.value.message.endswith(str(tmp_path / "ray/session_latest/logs"))
    assert "\n" not in caught.value.message


def test_a_raylet_that_is_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [RuntimeError("not yet"), RuntimeError("not yet"), {"node": 1}]

    def find(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(services, "get_node", find)
    monkeypatch.setattr(local_ray, "_POLL_S", 0.0)
    with local_ray._patient_with_raylet():
        assert services.get_node("gcs", "id") == {"node": 1}
    assert services.get_node is find


def test_a_raylet_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: Any) -> Any:
        raise RuntimeError("not yet")

    monkeypatch.setattr(services, "get_node", find)
    monkeypatch.setattr(local_ray, "_RAY_START_S", 0.0)
    monkeypatch.setattr(local_ray, "_POLL_S", 0.0)
    with local_ray._patient_with_raylet(), pytest.raises(RuntimeError, match="not yet"):
        services.get_node("gcs", "id")


def test_a_replica_that_asks_for_no_gpu_sees_none() -> None:
    """Ray's own default shows it all of them."""
    assert variables(Settings())[RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR] == "1"
    assert image_variables("server")[RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR] == "1"
