"""A server that asks nobody for a key must not be reached by everybody."""

from __future__ import annotations

import ipaddress

from configs.settings import Settings
from deployments.errors import Unavailable


def require_guarded(settings: Settings) -> None:
    """Raises `Unavailable` when others than this machine may call and no key is asked for."""
    auth = settings.auth
    if auth.mode == "api_key" or auth.allow_open or _is_loopback(settings.http_host):
        return
    raise Unavailable(
        f"DARKROOM_HTTP_HOST={settings.http_host} lets other machines in while DARKROOM_AUTH__MODE=disabled asks "
        "nobody for a key: set DARKROOM_AUTH__MODE=api_key with DARKROOM_AUTH__ADMIN_KEY, or, where something in front "
        "decides who may call, DARKROOM_AUTH__ALLOW_OPEN=true."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
