"""`python -m serve_app`: the whole of Darkroom on one machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from configs.settings import Settings
from deployments.errors import DarkroomError, Unavailable, WeightsMissing
from deployments.weights import missing_files, read_manifest
from serve_app.store.embedded import EmbeddedPostgres, PostgresNotStarted, ensure_running
from serve_app.store.migrate import upgrade

_OBJECT_STORE_BYTES = 512 * 2**20


def main() -> int:
    started = time.monotonic()
    settings = Settings()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _run(settings, started, stop)
    except (DarkroomError, PostgresNotStarted) as error:
        _say(f"darkroom: {error}")
        return 1
    return 0


def _run(settings: Settings, started: float, stop: threading.Event) -> None:
    if missing := missing_files(settings.weights_dir, read_manifest()):
        raise WeightsMissing(f"The model weights {missing[0].output} are missing: run `make setup`.")
    for port, setting in (
        (settings.http_port, "DARKROOM_HTTP_PORT"),
        (settings.dashboard_port, "DARKROOM_DASHBOARD_PORT"),
    ):
        _require_free(port, setting)
    _say("Starting Darkroom: PostgreSQL, Ray, models ...")
    with ThreadPoolExecutor(1) as background:
        postgres = background.submit(_prepare_database, settings)
        try:
            _start_serve(settings, postgres.result)
            _say(_welcome(settings, time.monotonic() - started))
            stop.wait()
            _say("\nStopping ...")
        finally:
            _stop_serve()
            if not postgres.exception() and (share := postgres.result()):
                share.release()


def _prepare_database(settings: Settings) -> EmbeddedPostgres | None:
    """Start the embedded database unless another is named, and migrate; the embedded one's share is the caller's."""
    if settings.database_url is not None:
        asyncio.run(upgrade(settings.database_url))
        return None
    share = ensure_running(settings.data_dir)
    asyncio.run(upgrade(share.dsn))
    return share


def _start_serve(settings: Settings, wait_for_database: Callable[[], object]) -> None:
    # Read by Ray when it is imported, and inherited by every process that it starts.
    defaults = {
        "RAY_AUTH_MODE": "disabled",  # the dashboard is bound to the loopback interface
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_DEDUP_LOGS": "0",
        "OMP_NUM_THREADS": str(settings.runtime.threads),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    import ray
    from ray import serve
    from ray.serve.schema import LoggingConfig

    from serve_app.graph import Args, build

    ray.init(
        dashboard_host="127.0.0.1",
        dashboard_port=settings.dashboard_port,
        include_dashboard=True,
        num_cpus=max(2, os.cpu_count() or 2),
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=settings.log_level == "DEBUG",
        logging_level=logging.ERROR,
    )
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": settings.http_host, "port": settings.http_port, "request_timeout_s": 180},
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
    )
    wait_for_database()
    serve.run(build(Args()), name="darkroom")


def _stop_serve() -> None:
    if "ray" not in sys.modules:
        return
    import ray
    from ray import serve

    if ray.is_initialized():
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


def _require_free(port: int, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Unavailable(f"Port {port} is taken; choose another with {setting}.") from None


def _welcome(settings: Settings, seconds: float) -> str:
    api = f"http://{settings.http_host}:{settings.http_port}"
    return (
        f"Darkroom is ready after {seconds:.0f} s.\n"
        f"  API        {api}/api/v1\n"
        f"  API docs   {api}/docs\n"
        f"  dashboard  http://127.0.0.1:{settings.dashboard_port}\n"
        f"  try        {os.path.relpath(os.path.join(os.path.dirname(sys.executable), 'darkroom'))} album FOLDER\n"
        "Ctrl-C stops it."
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
