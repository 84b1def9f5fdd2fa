"""Health checks of a deployment: asked by whoever holds its handle, answered in a lane that no user work can fill."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from deployments.errors import Unavailable

PROOF_S = 30.0
"""Seconds for which work that ended well proves an engine sound: Serve checks every ten, and readiness more often."""
PATIENCE_S = 20.0
"""Seconds that a check waits for work of its own; a third of what Serve waits for the check (`serve_app.graph`)."""
SILENT_S = 120.0
"""Seconds without any work that ended after which an engine hangs. On busy cores a small inference took a minute."""


class Checked(ABC):
    """A deployment with a health check, which Serve makes on every replica and readiness on any one."""

    @abstractmethod
    async def check_health(self) -> None:
        """Do a little of the real work, in a lane of its own; raises what is wrong."""

    async def check(self, capability: str) -> None:
        """Check the health of a capability, a name of `CAPABILITIES`: here there is only one."""
        await self.check_health()


class CheckLane:
    """A thread for checks alone, and when the engine that they are about was last seen to work.

    Serve calls `check_health` of a replica beside its calls, so that neither the queue nor `max_ongoing_requests` holds
    it up; with this lane no thread does, either. What users had done well is a proof as good as the check's own work,
    so a busy replica does none, and an idle one does it every `PROOF_S`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "check")
        self._proved_at = -math.inf
        self._work: asyncio.Future[object] | None = None

    def prove(self) -> None:
        """Note that the engine has just done some work well."""
        self._proved_at = self._clock()

    def doubt(self) -> None:
        """Forget the proof, for something broke: the next check does work of its own."""
        self._proved_at = -math.inf

    async def check(self, work: Callable[..., object], *arguments: object) -> None:
        """Pass while the last proof is fresh, else do `work`; raises what that raises.

        However many ask at once, it is done once. Work that takes longer than `PATIENCE_S` is no fault while other work
        ends: the cores are busy. Raises `Unavailable` when nothing has ended for `SILENT_S`.
        """
        if self._silent_s() < PROOF_S:
            return
        if self._work is None or self._work.done():
            loop = asyncio.get_running_loop()
            self._work = loop.run_in_executor(self._thread, partial(work, *arguments))
            self._work.add_done_callback(self._note)
        # A new replica may still be opening its files; Serve itself bounds that wait.
        patience_s = None if math.isinf(self._silent_s()) else PATIENCE_S
        mine = self._work
        await asyncio.wait({mine}, timeout=patience_s)
        if mine.done():
            mine.result()
        elif self._silent_s() > SILENT_S:
            raise Unavailable(f"The engine has done nothing for {self._silent_s():.0f} s.")

    def _silent_s(self) -> float:
        return self._clock() - self._proved_at

    def _note(self, work: asyncio.Future[object]) -> None:
        """Note how work ended that may have outlived who waited for it."""
        if not work.cancelled() and work.exception() is None:
            self.prove()
        else:
            self.doubt()
