"""Vendors of one deployment: opened when somebody asks for one first, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from configs.settings import Settings


class _Closing(Protocol):
    async def aclose(self) -> None: ...


P = TypeVar("P", bound=_Closing)


class ProviderPool(Generic[P]):
    def __init__(self, open_provider: Callable[[str, Settings], P], settings: Settings) -> None:
        """`open_provider`: one of `deployments.providers`."""
        self._open = open_provider
        self._settings = settings
        self._opened: dict[str, P] = {}
        self._opening = asyncio.Lock()

    async def get(self, name: str) -> P:
        """The vendor, whose SDK is imported at the first call. Raises what `open_provider` raises."""
        async with self._opening:
            if name not in self._opened:
                self._opened[name] = await asyncio.to_thread(self._open, name, self._settings)
            return self._opened[name]

    async def aclose(self) -> None:
        """Close the vendors' connections, which otherwise end with the process."""
        for provider in self._opened.values():
            await provider.aclose()
