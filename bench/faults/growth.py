"""What a server holds while it works, and whether it grows: memory, connections, open and temporary files."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from scipy.stats import theilslopes

from bench.report import NotMeasured
from bench.server import Server

_PERIOD_S = 5.0
_MINUTE_S = 60.0
_LEAST_SAMPLES = 4
LEAST_PEAK_S, LEAST_GROWTH_S = 2 * _PERIOD_S, 3 * _LEAST_SAMPLES * _PERIOD_S
"""Seconds in which there are enough samples for a peak, and for a growth: on a busy machine a sample takes longer than
the pause before it, and half a minute had three."""
_WARM_SHARE = 0.25
"""Share of the samples that is left out at the beginning: pools fill, and pages are touched for the first time."""


@dataclass(frozen=True)
class Bound:
    """How much a quantity may grow over the whole run: a share of its median, and so much besides."""

    unit: str
    share: float
    besides: float


BOUNDS = {
    "memory": Bound("MB", 0.05, 50),
    "connections": Bound("", 0.05, 5),
    "open files": Bound("", 0.05, 20),
    "temporary files": Bound("", 0.0, 5),
}
"""Bounds of growth: what opens and closes with calls varies by this much between two samples."""

Series = list[tuple[float, float]]
"""Pairs of minutes and value."""


@dataclass(frozen=True)
class Growth:
    """How a quantity went."""

    median: float
    slope: float
    """Growth a minute: the median of the slopes of all pairs of samples (Theil and Sen), which a peak does not move."""
    grown: float
    """Slope times the time measured."""
    bound: float
    """Most that it may have grown."""


class Sampler:
    """Samples of a running server. `temporary`: folders in which nothing may stay."""

    def __init__(self, server: Server, temporary: list[Path]) -> None:
        self._server = server
        self._temporary = temporary
        self.series: dict[str, Series] = {name: [] for name in BOUNDS}

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample in a thread until the block ends."""
        stop = threading.Event()
        thread = threading.Thread(target=self._repeat, args=[stop], daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _repeat(self, stop: threading.Event) -> None:
        began = time.monotonic()
        while not stop.wait(_PERIOD_S):
            minutes = (time.monotonic() - began) / _MINUTE_S
            for name, value in self.sample().items():
                self.series[name].append((minutes, value))

    def sample(self) -> dict[str, float]:
        processes = self._server.processes()
        connections = files = 0
        for process in processes:
            try:
                files += process.num_fds()
                connections += len(process.net_connections("inet"))
            except psutil.Error:
                continue
        return {
            "memory": self._server.memory_bytes() / 2**20,
            "connections": connections,
            "open files": files,
            "temporary files": sum(1 for folder in self._temporary for _ in folder.rglob("*")),
        }


def growth_of(name: str, series: Series) -> Growth:
    """Fit the growth of a quantity. Raises `NotMeasured` with fewer than four samples."""
    if len(series) < _LEAST_SAMPLES:
        raise NotMeasured(f"too few samples of {name}: a longer run is needed")
    warm = series[int(len(series) * _WARM_SHARE) :]
    minutes, values = zip(*warm, strict=True)
    slope = float(theilslopes(values, minutes).slope)
    median = sorted(values)[len(values) // 2]
    bound = BOUNDS[name]
    return Growth(median, slope, slope * (minutes[-1] - minutes[0]), bound.share * median + bound.besides)
