"""Start of Darkroom on one machine, `python -m serve_app [--diffusion]`, until Ctrl-C.

PostgreSQL, Ray and our own modules start in parallel, so nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import argparse
import asyncio
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
from deployments.weights.manifest import missing_files
from deployments.weights.packages import needed, read_manifest
from serve_app import local_ray
from serve_app.exposure import require_guarded
from serve_app.front_door import FrontDoor, find_haproxy
from serve_app.private_files import hide_data_folder, hide_new_files
from serve_app.ray_token import require_token

if TYPE_CHECKING:
    from ray.serve import Application

    from serve_app.store.embedded.server import EmbeddedPostgres

_SIGNALS = (
    signal.SIGTERM,
    *(each for each in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN),
)
"""That end the server. What the starter ignores stays ignored: a closed terminal under `nohup`, and Ctrl-C where it is
meant for somebody else, which is how a script's shell starts what it puts in the background."""
_WATCH_S = 1.0
"""Seconds between looks whether the front door still runs."""
_USUAL_PORT = 8000
_INTERRUPTED = 130
"""Exit status after Ctrl-C before the server was ready."""
_interrupted = threading.Event()
"""Set by the first signal. An exception raised by a handler can be lost, in a destructor of what happens to run, and
whatever fails after it most likely fails because children were interrupted too."""


def main() -> int:
    """Run the server. -> exit status"""
    started = time.monotonic()
    _interrupted.clear()
    parser = argparse.ArgumentParser(prog="python -m serve_app", description="Darkroom on this machine, until Ctrl-C.")
    parser.add_argument("--diffusion", action="store_true", help="with the diffusion engine (docs/diffusion.md)")
    options = parser.parse_args()
    try:
        _on_signals(_interrupt)
        _run(_read_settings(), started, diffusion=options.diffusion)
    except (Exception, KeyboardInterrupt) as error:
        if _interrupted.is_set() or isinstance(error, KeyboardInterrupt):
            _say("\nStopped before it was ready.")
            return _INTERRUPTED
        if not isinstance(error, DarkroomError):
            raise
        sys.stderr.write(f"darkroom: {error}\n")
        return 1
    return 0


def _run(settings: Settings, started: float, *, diffusion: bool) -> None:
    require_guarded(settings)
    require_token(settings, local_ray.variables(settings) | os.environ)
    if missing := missing_files(settings.weights_dir, needed(read_manifest(), settings)):
        raise WeightsMissing(f"{settings.weights_dir / missing[0].output} is missing: `make setup` fetches it.")
    _require_free(settings.http_port, "DARKROOM_HTTP_PORT")
    _require_free(settings.dashboard_port, "DARKROOM_DASHBOARD_PORT")
    hide_new_files()
    _require_folder(settings.data_dir, "DARKROOM_DATA_DIR")
    hide_data_folder(settings.data_dir)
    _say("Starting Darkroom: PostgreSQL, Ray, models ...")
    local_ray.set_defaults(settings)
    with ThreadPoolExecutor() as background:
        postgres = background.submit(_prepare_database, settings)
        door: FrontDoor | None = None
        try:
            import ray  # noqa: F401 (here, not in two threads at once)

            application = background.submit(local_ray.import_application, settings, diffusion)  # while Ray comes up
            local_ray.start(settings)
            _on_signals(_interrupt)
            _link(settings.data_dir / "logs", local_ray.log_dir())
            postgres.result()
            door = _deploy(application.result(), settings)
            if _interrupted.is_set():
                raise KeyboardInterrupt
            _wait(_welcome(settings, time.monotonic() - started), door)
        finally:
            _on_signals(signal.SIG_IGN)  # a second Ctrl-C would leave a half-stopped server
            local_ray.stop()
            if door:
                door.stop()
            if not postgres.exception() and (share := postgres.result()):
                share.release()


def _prepare_database(settings: Settings) -> EmbeddedPostgres | None:
    """Start the embedded database unless another is named, and migrate. -> the caller's share in the embedded one"""
    from serve_app.store.embedded.server import PostgresNotStarted, ensure_running

    try:
        share = ensure_running(settings.data_dir) if settings.database_url is None else None
    except PostgresNotStarted as error:
        raise Unavailable(str(error)) from None
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    from serve_app.store.migrate import prepare
    from serve_app.telemetry import configure_logging

    configure_logging(settings)  # a migration may warn
    try:
        dsn = share.dsn if share else str(settings.database_url)
        asyncio.run(prepare(dsn, migrates=settings.database.migrate_at_start))
    except (OSError, SQLAlchemyError, CommandError) as error:
        reason = str(error).strip().splitlines()[0]
        raise Unavailable(f"The database cannot be used: {reason}.") from None
    return share


def _deploy(application: Application, settings: Settings) -> FrontDoor | None:
    """Deploy the application, with the front door before it where there is HAProxy."""
    haproxy = find_haproxy()
    if haproxy is None:
        local_ray.deploy(application, settings.http_host, settings.http_port)
        return None
    port = local_ray.free_port()
    local_ray.deploy(application, "127.0.0.1", port)
    door = FrontDoor(haproxy, settings.front_door, f"127.0.0.1:{port}")
    door.start(settings.http_host, settings.http_port)
    return door


def _wait(welcome: str, door: FrontDoor | None) -> None:
    stop = threading.Event()
    _on_signals(lambda *_: stop.set())
    _say(welcome)
    while not stop.wait(_WATCH_S):
        if door:
            door.restart_if_ended()
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
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "no permission to write"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise Unavailable(f"The folder {folder} cannot be used ({reason}); choose another with {setting}.")


def _link(link: Path, target: str) -> None:
    """Link the logs of this run into the data folder."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _welcome(settings: Settings, seconds: float) -> str:
    api = f"http://{settings.http_host}:{settings.http_port}"
    command = os.path.relpath(os.path.join(os.path.dirname(sys.executable), "darkroom"))
    server = "" if api == f"http://127.0.0.1:{_USUAL_PORT}" else f" --server {api}"
    return (
        f"Darkroom is ready after {seconds:.0f} s.\n"
        f"  API        {api}/api/v1\n"
        f"  API docs   {api}/docs\n"
        f"  dashboard  http://127.0.0.1:{settings.dashboard_port}  (`{command} dashboard` prints its token)\n"
        f"  logs       {settings.data_dir / 'logs'}\n"
        f"  try        {command}{server} album FOLDER\n"
        "Ctrl-C stops it."
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def _on_signals(handler: Any) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
