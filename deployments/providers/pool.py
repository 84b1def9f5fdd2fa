"""Lazily opened provider clients of one deployment, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from configs.settings import Settings


class _Closing(Protocol):
    async def aclose(self) -> None: ...


P = TypeVar("P", bound=_Closing)


class ProviderPool(Generic[P]):
    """Pool of provider clients by name."""

    def __init__(self, open_provider: Callable[[str, Settings], P], settings: Settings) -> None:
        """Start empty; `open_provider`: one of `deployments.providers`."""
        self._open = open_provider
        self._settings = settings
        self._clients: dict[str, P] = {}
        self._opening = asyncio.Lock()

    async def get(self, name: str) -> P:
        """Return the client of a provider, opened at the first call, which imports its SDK. Raises what `open_provider`
        raises."""
        async with self._opening:
            if name not in self._clients:
                self._clients[name] = await asyncio.to_thread(self._open, name, self._settings)
            return self._clients[name]

    async def aclose(self) -> None:
        """Close the clients' connections, which otherwise end with the process."""
        for provider in self._clients.values():
            await provider.aclose()
