"""Start-up time, shutdown time and footprint of a server: `python -m bench.speed.startup`.

On a busy machine the seconds say little; the processor seconds, of all processes together, still compare.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.report import Report
from bench.server import Server

_SETTLE_S = 5.0


def main() -> None:
    report = Report("startup")
    report.add("load average before", os.getloadavg()[0], "")
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder:
        for name, target in (("new data folder", None), ("used data folder", 15.0)):
            server = Server(Path(folder))
            try:
                server.start()
                report.add(f"start to ready, {name}", server.start_s, "s", target=target, at_most=True)
                report.add("  processor time of it", server.processor_s(), "s")
                time.sleep(_SETTLE_S)
                report.add("  processes", float(len(server.processes())), "")
                report.add("  memory at rest", server.memory_bytes() / 2**20, "MB", target=2048, at_most=True)
                stopping = time.monotonic()
                left = server.stop()
                report.add("  Ctrl-C to all gone", time.monotonic() - stopping, "s", target=10, at_most=True)
                report.add("  processes left", float(len(left)), "", target=0, at_most=True)
            finally:
                server.kill()
    report.finish()


if __name__ == "__main__":
    main()
