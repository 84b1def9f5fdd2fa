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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
