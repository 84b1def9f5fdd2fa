"""Contract of whatever can show that its capabilities answer."""

from __future__ import annotations

from typing import Protocol


class Checkable(Protocol):
    """Capabilities, each of which can do a little of its work to show that it can."""

    async def check(self, capability: str) -> None:
        """Check one of `deployments.capabilities.CAPABILITIES`, beside all calls; raises what is wrong."""
        ...
