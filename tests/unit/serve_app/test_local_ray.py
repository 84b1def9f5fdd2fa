"""Variables of a local Ray."""

from __future__ import annotations

import os
import subprocess
import sys

from ray._private.accelerators import RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR

from configs.settings import Settings
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


def test_a_replica_that_asks_for_no_gpu_sees_none() -> None:
    """Ray's own default shows it all of them."""
    assert variables(Settings())[RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR] == "1"
    assert image_variables("server")[RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR] == "1"
