"""How far a job is, told by its handler and written down by its heartbeat, and what the client wants of it by then."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    share: float = 0.0
    started: float = field(default_factory=time.monotonic)
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    """The client wants the job to end now, with what there is."""
    skipped: asyncio.Event = field(default_factory=asyncio.Event)
    """The client wants the part that is being worked on left out. Each request has an event of its own: see `skip`."""

    def skip(self) -> None:
        """End what is being worked on now; what begins afterwards waits for the next request."""
        self.skipped.set()
        self.skipped = asyncio.Event()

    def report(self, share: float) -> None:
        """`share` of the work is done, 0 to 1. Never goes back."""
        self.share = min(1.0, max(self.share, share))

    def part(self, begin: float, end: float) -> Progress:
        """For a step of the work: its 0 to 1 is `begin` to `end` of this one."""
        return _PartialProgress(0.0, self.started, self.interrupted, self.skipped, self, begin, end)

    def eta_s(self) -> float | None:
        """Seconds left if the rest goes as the beginning did; None while that would be a guess."""
        if self.share < 0.02:
            return None
        return (time.monotonic() - self.started) * (1 - self.share) / self.share


@dataclass
class _PartialProgress(Progress):
    whole: Progress = field(default_factory=Progress)
    begin: float = 0.0
    end: float = 1.0

    def report(self, share: float) -> None:
        super().report(share)
        self.whole.report(self.begin + (self.end - self.begin) * self.share)
