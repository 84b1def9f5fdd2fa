"""Limit of wrong tries at a key that people chose themselves: such a key can be guessed, unlike those made here."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from starlette.types import Scope

from deployments.errors import Overloaded

_MAX_ADDRESSES = 10_000
"""Addresses that are remembered; the one that has tried nothing for longest is forgotten first."""


def address_of(scope: Scope) -> str:
    """Tell callers apart by address; of IPv6 by the network of 2^64 addresses that one connection gets."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((int(address), 64), strict=False).network_address)


class Tries:
    """Wrong keys by address: after `most` within `window_s` seconds no key from there is looked at, not even a right
    one, until the first of them is as old as that."""

    def __init__(self, most: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._window_s = window_s
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise `Overloaded` when this address has none left."""
        wrong = self._wrong.get(address)
        if wrong is None or len(wrong) < self._most:
            return
        left_s = wrong[0] + self._window_s - self._clock()
        if left_s > 0:
            extra = {"quota": "auth.wrong_keys", "limit": self._most, "retry_after_s": int(left_s) + 1}
            raise Overloaded("Too many wrong keys came from your address; try again later.", extra=extra)

    def count(self, address: str) -> None:
        """Count a wrong key."""
        self._wrong.setdefault(address, deque(maxlen=self._most)).append(self._clock())
        self._wrong.move_to_end(address)
        if len(self._wrong) > _MAX_ADDRESSES:
            self._wrong.popitem(last=False)
