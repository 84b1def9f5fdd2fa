"""`python -m serve_app`: the whole of Darkroom on one machine, until Ctrl-C.

PostgreSQL, Ray and our own modules come up side by side, so nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from configs.settings import Settings
from deployments.errors import DarkroomError, Unavailable, WeightsMissing
from deployments.weights import missing_files, read_manifest

if TYPE_CHECKING:
    from ray.serve import Application

    from serve_app.store.embedded import EmbeddedPostgres

_APPLICATION = "darkroom"
_OBJECT_STORE_BYTES = 512 * 2**20
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended before it did its work."""


def main() -> int:
    started = time.monotonic()
    try:
        _on_signals(_interrupt)
        _run(_read_settings(), started)
    except DarkroomError as error:
        sys.stderr.write(f"darkroom: {error}\n")
        return 1
    except KeyboardInterrupt:
        _say("\nStopped before it was ready.")
        return _INTERRUPTED
    return 0


def _run(settings: Settings, started: float) -> None:
    if missing := missing_files(settings.weights_dir, read_manifest()):
        raise WeightsMissing(f"The model weights {missing[0].output} are missing: run `make setup`.")
    _require_free(settings.http_port, "DARKROOM_HTTP_PORT")
    _require_free(settings.dashboard_port, "DARKROOM_DASHBOARD_PORT")
    _require_folder(settings.data_dir, "DARKROOM_DATA_DIR")
    _say("Starting Darkroom: PostgreSQL, Ray, models ...")
    with ThreadPoolExecutor() as background:
        postgres = background.submit(_prepare_database, settings)
        try:
            _set_ray_defaults(settings)
            import ray

            application = background.submit(_import_application)  # while Ray's processes come up
            _start_ray(ray, settings)
            postgres.result()
            _deploy(application.result(), settings)
            _wait(_welcome(settings, time.monotonic() - started))
        finally:
            _on_signals(signal.SIG_IGN)  # whoever is impatient gets no half-stopped server
            _stop_ray()
            if not postgres.exception() and (share := postgres.result()):
                share.release()


def _prepare_database(settings: Settings) -> EmbeddedPostgres | None:
    """Start the embedded database unless another is named, and migrate; the embedded one's share is the caller's."""
    from serve_app.store.embedded import PostgresNotStarted, ensure_running

    try:
        share = ensure_running(settings.data_dir) if settings.database_url is None else None
    except PostgresNotStarted as error:
        raise Unavailable(str(error)) from None
    from serve_app.store.migrate import upgrade

    asyncio.run(upgrade(share.dsn if share else str(settings.database_url)))
    return share


def _set_ray_defaults(settings: Settings) -> None:
    """Read by Ray when it is imported, and inherited by every process that it starts; the user's own values win."""
    defaults = {
        "RAY_AUTH_MODE": "disabled",  # the dashboard is bound to the loopback interface
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_DEDUP_LOGS": "0",
        "OMP_NUM_THREADS": str(settings.runtime.threads),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _import_application() -> Application:
    from serve_app.graph import Args, build

    return build(Args())


def _start_ray(ray: Any, settings: Settings) -> None:
    ray.init(
        address="local",  # never a cluster that happens to run on this machine
        dashboard_host="127.0.0.1",
        dashboard_port=settings.dashboard_port,
        include_dashboard=True,
        num_cpus=max(2, os.cpu_count() or 2),
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=settings.log_level == "DEBUG",
        logging_level=logging.ERROR,
    )
    _on_signals(_interrupt)  # Ray puts a handler of its own on SIGTERM


def _deploy(application: Application, settings: Settings) -> None:
    from ray import serve
    from ray.serve.schema import LoggingConfig

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": settings.http_host, "port": settings.http_port, "request_timeout_s": 180},
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
    )
    try:
        serve.run(application, name=_APPLICATION)
    except RuntimeError as error:  # how Serve says that replicas do not come up; the last line is the replica's own
        reason = str(error).strip().splitlines()[-1]
        raise Unavailable(f"The application did not start: {reason}") from None


def _stop_ray() -> None:
    """End the application, which hands its jobs back, and then everything of Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    from ray import serve

    # Not `serve.shutdown`, which makes the raylet print that a task of the controller failed.
    serve.delete(_APPLICATION)
    ray.shutdown()


def _wait(welcome: str) -> None:
    stop = threading.Event()
    _on_signals(lambda *_: stop.set())
    _say(welcome)
    stop.wait()
    _say("\nStopping ...")


def _read_settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "__".join(str(part) for part in first["loc"]).upper()
        raise Unavailable(f"DARKROOM_{name}: {first['msg']}.") from None


def _require_free(port: int, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Unavailable(f"Port {port} is taken; choose another with {setting}.") from None


def _require_folder(folder: Path, setting: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        usable = os.access(folder, os.W_OK | os.X_OK)
        reason = "no permission to write"
    except OSError as error:
        usable, reason = False, str(error.strerror)
    if not usable:
        raise Unavailable(f"The folder {folder} cannot be used ({reason}); choose another with {setting}.")


def _welcome(settings: Settings, seconds: float) -> str:
    api = f"http://{settings.http_host}:{settings.http_port}"
    command = os.path.relpath(os.path.join(os.path.dirname(sys.executable), "darkroom"))
    return (
        f"Darkroom is ready after {seconds:.0f} s.\n"
        f"  API        {api}/api/v1\n"
        f"  API docs   {api}/docs\n"
        f"  dashboard  http://127.0.0.1:{settings.dashboard_port}\n"
        f"  try        {command} album FOLDER\n"
        "Ctrl-C stops it."
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _on_signals(handler: Any) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
