"""Ingress deployment, which answers HTTP: the services of its replica and the FastAPI application over them."""

from __future__ import annotations

import os

import structlog
from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client

from configs.settings import Settings
from deployments.errors import Unavailable
from serve_app import ray_metrics
from serve_app.api.app import build_app
from serve_app.exposure import require_guarded, require_known_addresses
from serve_app.front_door import FrontDoor, find_haproxy
from serve_app.gateway import Gateway, Handle
from serve_app.private_files import hide_data_folder, hide_new_files
from serve_app.ray_token import keep_default_file_private, require_token
from serve_app.relay import Relay
from serve_app.services.container import Services
from serve_app.telemetry import Metrics, configure_logging
from serve_app.tracing import close_tracing, configure_tracing

log = structlog.get_logger(__name__)


@serve.ingress()
class Ingress:
    """The ingress replica.

    Late-bound (Serve calls `__serve_build_asgi_app__` after the constructor), so that nothing here is pickled.
    """

    async def __init__(self, worker: Handle, proxy_port: int | None, **capabilities: Handle) -> None:  # type: ignore[misc]
        self._settings = Settings()
        require_guarded(self._settings, _proxy_host())
        require_token(self._settings, os.environ)
        keep_default_file_private(os.environ)
        hide_new_files()
        if self._settings.data_dir.exists():
            hide_data_folder(self._settings.data_dir)
        configure_logging(self._settings)
        configure_tracing(self._settings, "ingress")
        self._metrics = Metrics("ingress", ray_metrics.export)
        gateway = Gateway(capabilities, self._settings.deadlines, self._metrics)
        self._services = await Services.open(
            self._settings,
            gateway,
            self._metrics,
            name="ingress",
            worker_metrics=worker.render_metrics.remote,
            all_metrics=ray_metrics.read_all,
        )
        self._door = await _open_door(proxy_port, self._settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self._services, self._settings, self._metrics, behind_serve=True)

    async def check_health(self) -> None:
        """Pass: a replica whose event loop answers is healthy; the database is checked by /readyz.

        The front door is opened again where its process has ended.
        """
        if isinstance(self._door, FrontDoor):
            self._door.restart_if_ended()

    async def __del__(self) -> None:
        if isinstance(self._door, Relay):
            await self._door.stop()
        elif self._door:
            self._door.stop()
        await self._services.close()
        close_tracing()


def _proxy_host() -> str | None:
    """Host of Serve's proxy, which only Serve's own client knows."""
    client = _get_global_client()
    return None if client is None else client.http_config.host


async def _open_door(proxy_port: int | None, settings: Settings) -> FrontDoor | Relay | None:
    """Open the port of the settings before Serve's proxy, where a file fixes the proxy's own."""
    if proxy_port is None:
        return None
    if proxy_port == settings.http_port:
        raise Unavailable(f"DARKROOM_HTTP_PORT={proxy_port} is the port of Serve's proxy; choose another.")
    if haproxy := find_haproxy():
        door = FrontDoor(haproxy, settings.front_door, f"127.0.0.1:{proxy_port}")
        door.start(settings.http_host, settings.http_port)
        return door
    require_known_addresses(settings)
    relay = Relay("127.0.0.1", proxy_port)
    try:
        await relay.start(settings.http_host, settings.http_port)
    except OSError:
        raise Unavailable(f"Port {settings.http_port} is taken; choose another with DARKROOM_HTTP_PORT.") from None
    return relay
