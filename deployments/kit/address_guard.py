"""Address guard against server-side request forgery: which addresses the server may open for a client.

A client that names a URL makes this machine connect from inside its network: to the cloud's metadata service, to a
database that trusts the subnet, to itself. So a URL is taken apart strictly, the name is resolved once, every address
it resolves to is checked, and the connection is made to the checked address, not to the name again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import httpx

from deployments.errors import ImageError, image_error

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Resolver: host name and port -> the addresses it resolves to, the best first. Raises `OSError` when there are
none."""

MAX_URL_CHARACTERS = 8_192

_FORBIDDEN_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        # IANA IPv4 special-purpose address registry
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",  # the host agent of Azure's machines: public by number, private by meaning
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_FORBIDDEN_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        # IANA IPv6 special-purpose address registry, inside the global unicast block; 6to4 and Teredo hide an IPv4
        # address, and so do IPv4-mapped (::ffff:0:0/96) and NAT64 (64:ff9b::/96) ones, which lie outside it.
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be fetched if its host resolves to permitted addresses."""

    url: httpx.URL
    host: str
    """Host name or address in lower case, without a trailing dot or brackets."""
    port: int


class AddressGuard:
    """Rules for addresses, with the exceptions that an operator has made."""

    def __init__(self, allowed_hosts: Iterable[str] = (), allowed_networks: Iterable[str] = ()) -> None:
        """Take the operator's exceptions. Raises `ValueError` for a network that is not in CIDR notation."""
        self._hosts = frozenset(_plain(host) for host in allowed_hosts)
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in allowed_networks)

    def check_url(self, url: str | httpx.URL) -> Target:
        """Parse a URL and check its form. Raises `ImageError` (`forbidden_address`, or `fetch_failed` for an invalid
        URL)."""
        if isinstance(url, str) and (len(url) > MAX_URL_CHARACTERS or not url.isprintable()):
            raise image_error("fetch_failed", "The URL is not valid")
        try:
            parsed = httpx.URL(url)
            host = _plain(parsed.raw_host.decode("ascii"))
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise image_error("fetch_failed", "The URL is not valid") from error
        if parsed.scheme not in ("http", "https"):
            raise _forbidden("Only http and https URLs are fetched")
        if parsed.userinfo:
            raise _forbidden("A URL with a user name or password is not fetched")
        if not host or "%" in host or "\\" in host:
            raise _forbidden("The URL names no host that may be fetched from")
        if _looks_numeric(host) and _address(host) is None:
            raise _forbidden("An address must be written as four decimal numbers")
        port = parsed.port if parsed.port is not None else 443 if parsed.scheme == "https" else 80
        if not 0 < port < 65536:
            raise image_error("fetch_failed", "The URL is not valid")
        return Target(parsed, host, port)

    def check_addresses(self, host: str, addresses: Sequence[str]) -> list[str]:
        """Return all addresses, in order, if each may be connected to. Raises `ImageError` (`forbidden_address`)
        otherwise.

        One private address among public ones refuses the host: which of them is used must not be left to chance.
        """
        if host not in self._hosts:
            for text in addresses:
                address = _address(text)
                if address is None or not self._is_permitted(address):
                    raise _forbidden("The address is private or reserved; it is not fetched from")
        return list(addresses)

    def _is_permitted(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)


async def resolve(host: str, port: int) -> list[str]:
    """Resolve a host by the operating system's resolver; see `Resolver`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def pin(request: httpx.Request, target: Target, address: str) -> httpx.Request:
    """Direct the request to the checked address; it still names the host, in `Host` and in TLS."""
    request.url = target.url.copy_with(host=address)
    request.extensions = dict(request.extensions) | {"sni_hostname": target.host}
    return request


def is_public(address: Address) -> bool:
    """Say whether an address belongs to the open internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _FORBIDDEN_V4)
    if address.scope_id is not None or address not in _PUBLIC_V6:
        return False
    return not any(address in network for network in _FORBIDDEN_V6)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _looks_numeric(host: str) -> bool:
    """Say whether a resolver might read the name as a number: 2130706433, 0x7f.1, 0177.0.0.1 (WHATWG URL, "ends in a
    number")."""
    if ":" in host:
        return True
    last = host.rsplit(".", 1)[-1]
    return last.isdigit() or last.startswith("0x")


def _plain(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()


def _forbidden(message: str) -> ImageError:
    return image_error("forbidden_address", message)
