"""Doors that need no key, for callers from named networks only: their address is all that can be asked of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import structlog
from pydantic import IPvAnyNetwork
from starlette.types import Scope

from deployments.errors import Forbidden

log = structlog.get_logger(__name__)


def check_network(scope: Scope, networks: Sequence[IPvAnyNetwork], setting: str) -> None:
    """Raise `Forbidden` unless a request came from one of `networks`; `setting` names them.

    The address is that of the connection. Behind the front door Serve's proxy takes it from the header that the door
    itself wrote; what clients say of themselves is only heard from `front_door.trusted_proxies`.
    """
    address = _address(scope)
    if address is not None and any(address in network for network in networks):
        return
    log.warning("call from outside of the networks refused", setting=setting, path=scope["path"], address=str(address))
    whence = "Your address is not known here" if address is None else f"You call from {address}"
    raise Forbidden(f"{whence}, which is in none of the networks of {setting}.")


def _address(scope: Scope) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
