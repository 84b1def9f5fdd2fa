"""Start-up time, shutdown time and footprint of a server: `python -m bench.speed.startup`.

Starts of an empty Serve application with as many deployments (`bench.speed.empty_app`) come in between: what of the
time is Ray's. On a busy machine the seconds say little; the processor seconds, of all processes together, still
compare.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Report, no_arguments
from bench.server import Server
from bench.speed import empty_app

_SETTLE_S = 5.0
_ROUNDS = 2
_EMPTY = (sys.executable, "-m", "bench.speed.empty_app")


def main() -> None:
    no_arguments(__doc__)
    report = Report("startup")
    report.add("load average before", os.getloadavg()[0], "")
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder, tempfile.TemporaryDirectory() as other:
        _started(Server(Path(folder)), report, "new data folder")
        starts: dict[str, list[tuple[float, float]]] = {"empty": [], "used": []}
        for number in range(_ROUNDS):
            starts["empty"].append(_start(Server(Path(other), _EMPTY, empty_app.READY)))
            starts["used"].append(_started(Server(Path(folder)), report if not number else None, "used data folder"))
        best = {name: tuple(map(min, zip(*seen, strict=True))) for name, seen in starts.items()}
        for place, what in enumerate(("start to ready", "processor time of it")):
            empty, used = best["empty"][place], best["used"][place]
            report.add(f"{what}, an empty application", empty, "s")
            target = 1.4 if place == 0 else None
            report.add(f"  Darkroom's over it, least of {_ROUNDS}", used / empty, "", target=target, at_most=True)
    report.finish()


def _start(server: Server) -> tuple[float, float]:
    """Start a server and kill it. -> seconds until it was ready, and of the processor"""
    try:
        server.start()
        return server.start_s, server.processor_s()
    finally:
        server.kill()


def _started(server: Server, report: Report | None, name: str) -> tuple[float, float]:
    """Measure a server's life. -> seconds until it was ready, and of the processor"""
    try:
        server.start()
        taken = server.start_s, server.processor_s()
        if report is None:
            return taken
        report.add(f"start to ready, {name}", taken[0], "s", target=15.0 if "used" in name else None, at_most=True)
        report.add("  processor time of it", taken[1], "s")
        time.sleep(_SETTLE_S)
        report.add("  processes", float(len(server.processes())), "")
        report.add("  memory at rest", server.memory_bytes() / 2**20, "MB", target=2048, at_most=True)
        stopping = time.monotonic()
        left = server.stop()
        report.add("  Ctrl-C to all gone", time.monotonic() - stopping, "s", target=10, at_most=True)
        report.add("  processes left", float(len(left)), "", target=0, at_most=True)
        return taken
    finally:
        server.kill()


if __name__ == "__main__":
    main()
