"""Seconds from `python -m serve_app` to ready, and what runs then. `python -m bench.startup`."""

from __future__ import annotations

import time

from bench.report import Report
from bench.server import running_server

_SETTLE_S = 5.0


def main() -> None:
    report = Report("startup")
    with running_server() as server:
        report.add("start to ready, new data folder", server.start_s, "s", target=15, at_most=True)
        time.sleep(_SETTLE_S)
        report.add("processes", float(len(server.processes())), "")
        report.add("memory at rest", server.memory_bytes() / 2**20, "MB", target=2048, at_most=True)
    report.finish()


if __name__ == "__main__":
    main()
