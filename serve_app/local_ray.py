"""Local Ray with the application on it: start, deploy and stop, without output."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from configs.settings import Settings
from deployments.errors import Unavailable
from serve_app import control_headers, private_files, ray_token

if TYPE_CHECKING:
    from ray.serve import Application

_NAME = "darkroom"
_OBJECT_STORE_BYTES = 512 * 2**20
_REQUEST_S = 660.0
"""Seconds until the first byte of an answer: a gigabyte may take minutes to come in, and images
`deadlines.generate_s`."""
_RAY_START_S = 180.0
"""Seconds that Ray's processes have to start on a busy machine; Ray's own 60 and 30 were too short for one."""
_DEPLOY_S = 300.0
_STOP_S = 15.0
_POLL_S = 0.1


def variables(settings: Settings) -> dict[str, str]:
    """Environment variables of a local Ray."""
    return ray_token.environment(settings) | {
        **control_headers.SETTING,
        "RAY_TMPDIR": str(private_files.ray_folder(os.environ)),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a replica that asks for no GPU sees none
        "RAY_DEDUP_LOGS": "0",
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{_RAY_START_S:.0f}",
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # at its own 0.1 the controller takes a tenth of a core
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",  # three find a dead proxy: at Ray's own 10, 35 s
        "OMP_NUM_THREADS": str(settings.runtime.threads),
        # Calls run side by side, each on one core. Threads of BLAS wait for each other by spinning: with them, on busy
        # cores, a picture's quality takes a multiple of the processor's time (`bench.speed.side_by_side`).
        "OPENBLAS_NUM_THREADS": "1",
        # Blocks of 16 MiB, Pillow's own, are kept by each thread's heap: a quarter of a gigabyte after a large picture.
        "PILLOW_BLOCK_SIZE": "64m",
    }


def set_defaults(settings: Settings) -> None:
    """Set the variables that Ray reads at import and its processes inherit; values of the user's own win.

    Raises `Unavailable` when the token of Ray's ports or the folder of its files cannot be created.
    """
    for name, value in variables(settings).items():
        os.environ.setdefault(name, value)
    ray_token.ensure_named(settings, os.environ)
    private_files.ensure_ray_folder(os.environ)


def start(settings: Settings) -> None:
    """Start Ray's processes. From here on SIGTERM ends them at once, until the caller handles it otherwise.

    Raises `Unavailable` when they do not come up.
    """
    import ray

    try:
        with _patient_with_raylet():
            ray.init(
                address="local",  # never a cluster that happens to run on this machine
                dashboard_host="127.0.0.1",
                dashboard_port=settings.dashboard_port,
                include_dashboard=True,
                num_cpus=max(2, os.cpu_count() or 2),
                object_store_memory=_OBJECT_STORE_BYTES,
                _metrics_export_port=settings.metrics_port,
                log_to_driver=settings.log_level == "DEBUG",
                logging_level=logging.CRITICAL,  # what it would print of a failure is pages of its own log
            )
    except Exception as error:  # Ray has no class for what it says here
        said = str(error).strip().splitlines() or [type(error).__name__]
        # Where the dashboard is late, the text is a page of its log.
        reason = "its dashboard did not come up." if "from the dashboard)" in said[0] else said[0]
        logs = Path(os.environ["RAY_TMPDIR"]) / "ray/session_latest/logs"
        raise Unavailable(f"Ray did not start: {reason} The machine may be too busy; Ray's logs: {logs}") from error


@contextlib.contextmanager
def _patient_with_raylet() -> Iterator[None]:
    """Let Ray wait for its raylet for as long as for the rest: the 30 seconds that it waits by itself cannot be set."""
    from ray._private import services

    find: Callable[..., Any] = services.get_node
    deadline = time.monotonic() + _RAY_START_S

    def find_in_time(*arguments: Any) -> Any:
        while True:
            try:
                return find(*arguments)
            except RuntimeError:  # it has not registered yet
                if time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_S)

    services.get_node = find_in_time
    try:
        yield
    finally:
        services.get_node = find


def log_dir() -> str:
    """Folder of the logs of Ray's processes and ours."""
    from ray._private.worker import global_worker

    node: Any = global_worker.node
    return str(node.get_logs_dir_path())


def import_application(settings: Settings, diffusion: bool) -> Application:
    """Build the application; `diffusion` adds the diffusion engine, with the whole GPU where the settings name one."""
    from serve_app.graph import Args, build

    gpus = 1.0 if settings.diffusion.device.startswith("cuda") else 0.0
    return build(Args(diffusion=diffusion, diffusion_gpus=gpus))


def deploy(application: Application, host: str, port: int) -> None:
    """Deploy the application and wait until every replica runs. Raises `Unavailable` with the reason otherwise.

    `host`, `port`: where Serve's proxy listens.
    """
    from ray import serve
    from ray.serve.schema import ApplicationStatus, LoggingConfig

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)  # the ingress logs requests itself
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": host, "port": port, "request_timeout_s": _REQUEST_S},
        logging_config=quiet,
    )
    target = serve.RunTarget(application, name=_NAME, logging_config=quiet)
    serve.run_many([target], wait_for_applications_running=False)
    deadline = time.monotonic() + _DEPLOY_S
    while time.monotonic() < deadline:
        found = serve.status().applications[_NAME]
        if found.status == ApplicationStatus.RUNNING:
            return
        if found.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            messages = [deployment.message for deployment in found.deployments.values() if deployment.message]
            raise Unavailable(f"The application did not start: {_last_line(messages or [found.message])}")
        time.sleep(_POLL_S)
    raise Unavailable(f"The application was not ready after {_DEPLOY_S:g} s; the logs are in {log_dir()}.")


def free_port() -> int:
    """Choose a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop() -> None:
    """Stop the application, which hands its jobs back, and then Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    given_up = threading.Event()
    ending = threading.Thread(target=_end_application, args=[given_up], daemon=True)
    ending.start()
    deadline = time.monotonic() + _STOP_S
    # A service manager signals all processes at once, and an application whose Ray is going would never end.
    while ending.is_alive() and time.monotonic() < deadline and not _some_have_ended():
        ending.join(_POLL_S)
    given_up.set()  # a call of Serve's after Ray is gone would start another Ray
    ending.join(_POLL_S)
    ray.shutdown()


def _end_application(given_up: threading.Event) -> None:
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    # Not `serve.shutdown`, which makes the raylet print that a task of the controller failed.
    with contextlib.suppress(RayError, RayServeException):  # it is going down by itself, or never came up
        serve.delete(_NAME, _blocking=False)
        while not given_up.is_set() and _NAME in serve.status().applications:
            given_up.wait(_POLL_S)


def _some_have_ended() -> bool:
    """Whether processes that Ray started from this one are gone."""
    return any(child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process().children())


def _last_line(messages: list[str]) -> str:
    """Last line of a replica's traceback: the exception."""
    return messages[0].strip().splitlines()[-1]
