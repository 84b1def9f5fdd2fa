"""What a worker itself does with a picture, by threads side by side: `python -m bench.speed.side_by_side`.

Quality and views, in a process with the variables of `make run`, and in one whose BLAS and OpenCV have as many threads
as there are cores: milliseconds of the processor and of the clock a picture, in turn. On busy cores the difference is
largest, since these threads wait for each other by spinning.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from bench.report import Report
from bench.speed.album import photographs
from configs.settings import Limits, Settings
from deployments.algorithms.images.decoding import decode
from deployments.algorithms.images.quality import assess
from deployments.algorithms.images.views import make_views
from serve_app.local_ray import variables

_PICTURES = 12
_TURNS = 3
_VIEW_PX = 224
_OWN = "threads of BLAS and OpenCV"
_MADE = "as `make run`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        sys.stdout.write(json.dumps(measure(options.measure)))
        return
    cores = str(os.cpu_count() or 2)
    of_server = {**os.environ, **variables(Settings())}
    ways = {_OWN: (of_server | {"OPENBLAS_NUM_THREADS": cores}, cores), _MADE: (of_server, "1")}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(_TURNS):
        for name, (environment, threads) in ways.items():
            command = [sys.executable, "-m", "bench.speed.side_by_side", "--measure", threads]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            taken[name].append(tuple(json.loads(done.stdout)))
    report = Report("side_by_side")
    report.add("load average", os.getloadavg()[0], "")
    for name, seen in taken.items():
        for place, of in enumerate(("processor", "clock")):
            report.add(f"quality and views, {name}", float(np.median([one[place] for one in seen])), f"ms, {of}")
    report.finish()


def measure(opencv_threads: int) -> tuple[float, float]:
    """Measure in this process. -> milliseconds of the processor and of the clock a picture"""
    cv2.setNumThreads(opencv_threads)
    pictures = [decode(data, Limits().preview_px) for data in photographs(2)] * (_PICTURES // 2)

    def work(number: int) -> None:
        assess(pictures[number])
        make_views(pictures[number], _VIEW_PX)

    with ThreadPoolExecutor(Settings().runtime.threads) as pool:
        list(pool.map(work, range(2)))
        processor, clock = time.process_time(), time.perf_counter()
        list(pool.map(work, range(_PICTURES)))
        spent = time.process_time() - processor, time.perf_counter() - clock
    return 1000 * spent[0] / _PICTURES, 1000 * spent[1] / _PICTURES


if __name__ == "__main__":
    main()
