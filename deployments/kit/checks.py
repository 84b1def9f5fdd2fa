"""Check of a deployment that whoever holds its handle may ask for."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Checked(ABC):
    """A deployment with a health check, which Serve makes on every replica and readiness on any one."""

    @abstractmethod
    async def check_health(self) -> None:
        """Do a little of the real work, in a lane of its own; raises what is wrong."""

    async def check(self, capability: str) -> None:
        """Check the health of a capability, a name of `CAPABILITIES`: here there is only one."""
        await self.check_health()
