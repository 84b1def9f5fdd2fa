"""The whole application behind real HTTP, without Ray, as a process of its own: it may be killed and started again.

Processes are forked from one that has imported everything once, so that a start takes less than a second.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import httpx
import uvicorn
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from configs.settings import Settings
from deployments.contracts.diffusion import ModelCatalogue
from deployments.errors import NotDeployed
from serve_app.api.app import build_app
from serve_app.local_ray import free_port
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.telemetry import Metrics, configure_logging
from tests.support.fake_diffuser import FakeDiffuser
from tests.support.fakes import FakeCapabilities

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

Engines = Literal["real", "fake", "diffusing", "stuck", "none"]
"""The local profile's; `FakeCapabilities`; `FakeDiffuser`, whose pictures show what was asked for; those whose tags
never come; or no worker, so that jobs stay queued."""
START_S = 120.0
STOP_S = 20.0


class StuckCapabilities(FakeCapabilities):
    """Never tells the tags of an image."""

    async def tag_images(self, *_: Any, **__: Any) -> list[dict[str, float]]:
        await asyncio.Event().wait()
        return []


class AppProcess:
    """A server that listens at `url` from `start` to `stop` or `kill`, each of which may be called again."""

    def __init__(self, settings: Settings, engines: Engines = "fake") -> None:
        self.settings = settings
        self.engines: Engines = engines
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: BaseProcess | None = None

    def start(self, engines: Engines | None = None) -> None:
        """Start, and wait until it answers."""
        self.engines = engines or self.engines
        context = _context()
        told, telling = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_run, args=(self.settings, self.engines, self.port, telling), daemon=True
        )
        self._process.start()
        telling.close()
        if not told.poll(START_S):
            self.kill()
            raise TimeoutError("the server did not start")
        told.recv()  # an EOFError: it ended, and has said why

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(STOP_S)
        self.kill()

    def kill(self) -> None:
        """End it as the lack of memory or of power does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def client(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=START_S, trust_env=False, **options)


@asynccontextmanager
async def a_database(server_dsn: str) -> AsyncIterator[str]:
    """Make a copy of an empty, migrated database, for one server alone. -> its DSN"""
    name = f"browser_{free_port()}"
    maintenance = create_async_engine(make_url(server_dsn).set(database="template1"), isolation_level="AUTOCOMMIT")
    try:
        async with maintenance.connect() as connection:
            await connection.execute(text(f'CREATE DATABASE {name} TEMPLATE "{make_url(server_dsn).database}"'))
        yield make_url(server_dsn).set(database=name).render_as_string(hide_password=False)
        async with maintenance.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await maintenance.dispose()


@asynccontextmanager
async def a_server(
    server_dsn: str, folder: Path, engines: Engines = "fake", **settings: Any
) -> AsyncIterator[AppProcess]:
    """Start the application with an empty database, and end it."""
    async with a_database(server_dsn) as dsn:
        values = {"data_dir": folder, "database_url": dsn, "log_level": "ERROR", **settings}
        process = AppProcess(Settings(**values), engines)
        process.start()
        try:
            yield process
        finally:
            process.stop()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "deployments.bundle"])
    return context


def _run(settings: Settings, engines: Engines, port: int, telling: Connection) -> None:
    asyncio.run(_serve(settings, engines, port, telling))


async def _serve(settings: Settings, engines: Engines, port: int, telling: Connection) -> None:
    configure_logging(settings)
    services = await Services.open(settings, _capabilities(settings, engines), Metrics("test"), name="browser")
    runner = JobRunner(services, settings.jobs)
    running = asyncio.create_task(runner.run()) if engines != "none" else None
    try:
        app = build_app(services, settings, Metrics("ingress"))
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
            await _Announced(config, telling).serve([listener])
    finally:
        if running is not None:
            await runner.stop()
            await asyncio.wait_for(running, STOP_S)
        await services.close()


class _Announced(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, telling: Connection) -> None:
        super().__init__(config)
        self._telling = telling

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._telling.send("ready")
        self._telling.close()


def _capabilities(settings: Settings, engines: Engines) -> Any:
    if engines == "stuck":
        return StuckCapabilities()
    if engines == "diffusing":
        return FakeDiffuser()
    if engines != "real":
        return FakeCapabilities()
    from deployments.bundle import Bundle

    class WithoutDiffusion(Bundle):
        async def list_models(self) -> ModelCatalogue:
            raise NotDeployed("The diffusion engine is not deployed.")

    return cast(Any, WithoutDiffusion(settings))
