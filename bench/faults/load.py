"""How much a server takes, and how it behaves beyond: `python -m bench.faults.load`.

A mix of calls (`bench.faults.mix`) comes from a process of its own on the same machine, whose cores it shares. The
highest rate with the 99th percentile in target and no error is searched for; then comes twice that rate; then, when the
server is well again, that rate for so many minutes. The tables and plots of docs/performance.md are written anew unless
`--no-page` is given. Exit status 1 when a bound was not kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.faults import journal, load_page
from bench.faults.growth import BOUNDS, LEAST_GROWTH_S, LEAST_PEAK_S, Growth, Sampler, growth_of
from bench.faults.running import running, server_with_keys
from bench.faults.search import Step, highest_clean, step_of
from bench.report import NotMeasured, Report
from bench.server import ROOT, Server

_FIRST_RATE = 2.0
_RECOVERED_S = 120.0
_PROBE_S = 5.0
_MEMORY_BESIDES = 1.5
"""Most memory under twice the rate, as a ratio to that at the clean rate: bodies, waiting jobs, larger pools."""
_SETTLE_S = 2.0


def measure_a_server(options: argparse.Namespace) -> load_page.Found:
    """Measure a server of its own. Raises `NotMeasured`."""
    with tempfile.TemporaryDirectory(prefix="dr-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for part in ("tmp", "ray"):
            (folder / part).mkdir(mode=0o700)
        server, key = server_with_keys(
            "compact", folder / "data", TMPDIR=str(folder / "tmp"), RAY_TMPDIR=str(folder / "ray")
        )
        with (
            running(server, key, options.users) as clients,
            _mix(server, [client.key for client in clients], options.seed) as mix,
        ):
            return measure(server, mix, options)


def main(
    arguments: Sequence[str] | None = None,
    measure_by: Callable[[argparse.Namespace], load_page.Found] = measure_a_server,
) -> int:
    """Run the command. -> exit status"""
    parser = argparse.ArgumentParser(prog="python -m bench.faults.load", description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", type=float, default=2.0, help="seconds that 99 of 100 calls may take")
    parser.add_argument("--step", type=float, default=20.0, help="seconds at each rate of the search")
    parser.add_argument("--bisections", type=int, default=3)
    parser.add_argument("--overload", type=float, default=60.0, help="seconds at twice the clean rate")
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes at the clean rate")
    parser.add_argument("--no-page", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args(arguments)
    # Not after the search, minutes later; "not" for what is no number.
    if not options.minutes * 60 >= LEAST_GROWTH_S:
        parser.error(f"--minutes: at least {LEAST_GROWTH_S / 60:g}, or it cannot be told whether the server grows")
    if not options.overload >= LEAST_PEAK_S:
        parser.error(f"--overload: at least {LEAST_PEAK_S:g} seconds, or the highest memory is not seen")
    try:
        found = measure_by(options)
    except NotMeasured as error:
        raise SystemExit(f"Nothing was measured: {error}") from error
    report = Report("load")
    kept = load_page.report_on(report, found, options)
    report.finish()
    if not options.no_page:
        load_page.write(ROOT / "docs", found, options)
    return 0 if kept else 1


def measure(server: Server, mix: RemoteMix, options: argparse.Namespace) -> load_page.Found:
    mix.step(_FIRST_RATE, options.step)  # a fresh server loads and tunes
    clean, steps = highest_clean(
        lambda rate: mix.step(rate, options.step), options.target, _FIRST_RATE, options.bisections
    )
    memory = server.memory_bytes()
    sampler = Sampler(server, [])
    with sampler.sampling():
        over = mix.step(2 * clean.rate, options.overload)
    recovered_s = _recovered_s(server, mix, clean.rate, options.target)
    temporary = [server.data_dir / "files" / ".incoming", server.data_dir.parent / "tmp"]
    soak = Sampler(server, temporary)
    with soak.sampling():
        at_length = mix.step(clean.rate, options.minutes * 60)
    growths: dict[str, Growth] = {name: growth_of(name, soak.series[name]) for name in BOUNDS}
    peak = max((value for _, value in sampler.series["memory"]), default=0.0)
    return load_page.Found(
        clean, steps, over, memory / 2**20, peak, _MEMORY_BESIDES, recovered_s, at_length, soak.series, growths
    )


def _recovered_s(server: Server, mix: RemoteMix, rate: float, target_s: float) -> float:
    """Wait until the clean rate is answered cleanly again. -> seconds until the first such step began"""
    began = time.monotonic()
    while time.monotonic() - began < _RECOVERED_S:
        waited = time.monotonic() - began
        if server.is_ready() and mix.step(rate, _PROBE_S).is_clean(target_s):
            return waited
    raise NotMeasured(f"the server was not well again {_RECOVERED_S:g} s after the overload")


class RemoteMix:
    """The process that makes the calls."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._steps = 0

    def step(self, rate: float, seconds: float) -> Step:
        """Call so often for so long, and wait for the answers. Raises `RuntimeError` when the process ended."""
        self._steps += 1
        name = f"{self._steps}.jsonl"
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"rate": rate, "seconds": seconds, "journal": name}) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError("the process that makes the calls ended")
        answers = (entry for entry in journal.read(self._folder / name) if isinstance(entry, journal.Answer))
        step = step_of(rate, answers)
        print(f"{rate:6.2f}/s  p50 {step.p50_s:.2f} s  p99 {step.p99_s:.2f} s  {dict(step.statuses)}", flush=True)
        time.sleep(_SETTLE_S)
        return step


@contextmanager
def _mix(server: Server, keys: list[str], seed: int) -> Iterator[RemoteMix]:
    command = [sys.executable, "-m", "bench.faults.mix"]
    with (
        tempfile.TemporaryDirectory(prefix="load-") as name,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdin
        order = {"url": server.url, "keys": keys, "seed": seed, "folder": name}
        process.stdin.write(json.dumps(order) + "\n")
        try:
            yield RemoteMix(process, Path(name))
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
