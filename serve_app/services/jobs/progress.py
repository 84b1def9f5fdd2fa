"""Progress of a running job, reported by its handler and stored by its heartbeat, and the client's requests to it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    """The share of a job's work that is done, with an estimate of the time left."""

    share: float = 0.0
    """0 to 1."""
    begun: float = 0.0
    """The share that was done when this attempt began."""
    started: float = field(default_factory=time.monotonic)
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client wants the job to end now, with what there is."""
    skipped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client wants the part in work left out. Each request has an event of its own: see `skip`."""

    def skip(self) -> None:
        """End the part in work; a part that begins afterwards waits for the next request."""
        self.skipped.set()
        self.skipped = asyncio.Event()

    def report(self, share: float) -> None:
        """Record that `share` of the work is done, 0 to 1. Never goes back."""
        self.share = min(1.0, max(self.share, share))

    def part(self, begin: float, end: float) -> Progress:
        """Make the progress of a step of the work, whose 0 to 1 is `begin` to `end` of this one."""
        return _PartialProgress(0.0, 0.0, self.started, self.interrupted, self.skipped, self, begin, end)

    def eta_s(self) -> float | None:
        """Estimate the seconds left by the pace so far; None while that would be a guess."""
        done = self.share - self.begun
        if done < 0.02:
            return None
        return (time.monotonic() - self.started) * (1 - self.share) / done


@dataclass
class _PartialProgress(Progress):
    whole: Progress = field(default_factory=Progress)
    begin: float = 0.0
    end: float = 1.0

    def report(self, share: float) -> None:
        super().report(share)
        self.whole.report(self.begin + (self.end - self.begin) * self.share)
