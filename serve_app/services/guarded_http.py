"""Requests to servers that clients name, to addresses that were checked (`deployments.kit.address_guard`)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache

import httpx

from configs.settings import Fetch
from deployments.errors import image_error
from deployments.kit.address_guard import AddressGuard, Resolver, Target, pin, resolve

_ATTEMPTS = 3
"""Addresses of one host that are tried in turn at most."""


@cache
def authorities() -> ssl.SSLContext:
    """Read the authorities that the world trusts, once: each reading takes a hundredth of a second and a megabyte."""
    return httpx.create_ssl_context(trust_env=False)


class GuardedHttp:
    """Transport that connects to checked addresses only. Close it when done."""

    def __init__(
        self, settings: Fetch, resolver: Resolver = resolve, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self.guard = AddressGuard(settings.allowed_hosts, settings.allowed_networks)
        self._transport = httpx.AsyncHTTPTransport(
            verify=ssl_context or authorities(),
            trust_env=False,
            # No connection serves two requests: it is verified for one host name, and addresses are shared by many.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def send(
        self, method: str, target: Target, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx.Response:
        """Send a request; redirects are not followed. -> the response, to be read and closed

        Raises `ImageError` (`forbidden_address`, or `fetch_failed` for a name without an address), `httpx.HTTPError`.
        """
        refused: httpx.TransportError | None = None
        for address in (await self.addresses(target))[:_ATTEMPTS]:
            timeout = httpx.Timeout(self._settings.timeout_s, connect=self._settings.connect_timeout_s).as_dict()
            request = httpx.Request(
                method, target.url, headers=dict(headers), content=content, extensions={"timeout": timeout}
            )
            try:
                return await self._transport.handle_async_request(pin(request, target, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
        raise refused or httpx.ConnectError("no address")

    async def addresses(self, target: Target) -> list[str]:
        """Resolve the target's host and check what it resolves to. Raises `ImageError`."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                found = await self._resolver(target.host, target.port)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise image_error("fetch_failed", "The host name cannot be resolved") from error
        return self.guard.check_addresses(target.host, found)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
