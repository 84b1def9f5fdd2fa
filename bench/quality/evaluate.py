"""Quality figures in one table, with bootstrap intervals: `make eval DATA=folder`, or `make eval ARGS=--quick`.

The folder holds the labelled sets `faces`, `neardup`, `tags` and `hard`, each with a `labels.csv` whose first column is
a path below the set's folder. They are asked for over HTTP from a server of its own; `portraits` is made of `faces` and
`tags`. In this process: `face groups` (variants of `faces`), `labels` (tags and own labels by half), and `copies` and
`quality`, which are made of photographs that ship in packages, of the half that nothing was set on. `--quick` measures
small sets of installed packages alone, without a server, and fails where a figure left its interval in
`quick_intervals.json`; `--store` writes that file. `--feedback` measures what the
users of a database said, and nothing else.

Prints what moved since the last table, and writes `out/eval.json` (the table) and `out/eval_mistakes_SET.png` (a
contact sheet of what went wrong in each set); with `--quick` both begin with `quick`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import httpx
from rich.console import Console

from bench.quality import feedback, history, local_sets, quick, served
from bench.quality.contact_sheet import Mistake, write_contact_sheet
from bench.quality.figures import Figure, Sets
from bench.quality.local_sets import Measured
from bench.quality.portrait_finders import http_finder
from bench.quality.portraits import measure
from bench.quality.targets import TARGETS
from bench.report import machine
from bench.server import Server, running_server

OUT = Path("out")
INTERVALS = Path(__file__).with_name("quick_intervals.json")
STORE = "python -m bench.quality.evaluate --quick --store"
SERVED = ("faces", "portraits", "neardup", "tags", "hard")
LOCAL = ("face groups", "labels", "copies", "quality")
_TIMEOUT = httpx.Timeout(900.0)
Measurements = dict[str, Callable[[], Measured]]


def _served(data: Path, client: httpx.Client, server: Server) -> Measurements:
    def portraits() -> Measured:
        figures, mistakes = measure(http_finder(client), data / "faces", data / "tags")
        return {name: Figure.exact(value) for name, value in figures.items()}, mistakes

    def album(name: str, score: Callable[[served.Set], Measured]) -> Measured:
        pictures = served.Set(data / name, client)
        pictures.upload_and_embed()
        return score(pictures)

    return {
        "faces": lambda: album("faces", served.people),
        "portraits": portraits,
        "neardup": lambda: album("neardup", served.duplicates),
        "tags": lambda: album("tags", served.tags),
        "hard": lambda: served.hard(served.Set(data / "hard", client), client, server),
    }


def _local(data: Path) -> Measurements:
    return {
        "face groups": lambda: local_sets.face_groups(data / "faces"),
        "labels": lambda: local_sets.labels(data / "tags"),
        "copies": local_sets.copies,
        "quality": local_sets.quality,
    }


def run(measurements: Measurements, wanted: Sequence[str]) -> tuple[Sets, dict[str, list[Mistake]]]:
    """Run the wanted measurements, one after another."""
    sets: Sets = {}
    mistakes = {}
    for name in wanted:
        if name in measurements:
            started = time.monotonic()
            sets[name], mistakes[name] = measurements[name]()
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return sets, mistakes


def measure_all(data: Path, wanted: Sequence[str]) -> tuple[Sets, dict[str, list[Mistake]]]:
    """Measure the wanted sets; a server runs only while it is asked."""
    sets, mistakes = run(_local(data), wanted)
    if set(wanted) & set(SERVED):
        with running_server() as server, httpx.Client(base_url=f"{server.url}/api/v1", timeout=_TIMEOUT) as client:
            more, wrong = run(_served(data, client, server), wanted)
        sets, mistakes = more | sets, wrong | mistakes
    return sets, mistakes


def report(sets: Sets, mistakes: dict[str, list[Mistake]], name: str) -> int:
    """Print the table and what moved since the last one, keep it, and write contact sheets. -> targets missed"""
    path = OUT / f"{name}.json"
    last = history.load(path)
    views = {of: [mistake.view() for mistake in wrong] for of, wrong in mistakes.items()}
    history.save(sets, path, machine=machine(), mistakes=views)
    for of, wrong in mistakes.items():
        write_contact_sheet(wrong, OUT / f"{name}_mistakes_{of.replace(' ', '_')}.png")
    missed = history.print_table(f"{name}: {machine()}", sets, TARGETS if name == "eval" else None)
    console = Console(highlight=False)
    console.print(f"{sum(map(len, mistakes.values()))} mistakes: {OUT}/{name}_mistakes_*.png, figures: {path}")
    for line in history.moved(last, sets):
        console.print(f"moved: {line}", markup=False)
    return missed


def check(sets: Sets, store: bool) -> int:
    """Compare with the stored intervals, or store them. -> how many figures left theirs"""
    if store:
        history.save(quick.with_slack(sets), INTERVALS, command=STORE)
        return 0
    wrong = history.outside(history.load(INTERVALS), sets)
    for line in wrong:
        print(f"OUTSIDE its interval: {line}", file=sys.stderr)
    if wrong:
        print(f"If that is meant: {STORE}", file=sys.stderr)
    return len(wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.evaluate", description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="folder with the labelled sets")
    parser.add_argument("--only", nargs="*", default=(*SERVED, *LOCAL), metavar="SET", help="sets to measure")
    parser.add_argument("--quick", action="store_true", help="measure small sets of installed packages alone")
    parser.add_argument("--store", action="store_true", help="with --quick: store the intervals")
    parser.add_argument("--feedback", metavar="URL", help="measure what users said, in the database of this URL")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    if chosen.feedback is not None:
        report({"feedback": asyncio.run(feedback.measure(chosen.feedback))}, {}, "feedback")
        return 0
    if chosen.quick:
        sets, mistakes = run(quick.measurements(), list(quick.measurements()))
        report(sets, mistakes, "quick")
        return 1 if check(sets, chosen.store) else 0
    if chosen.data is None or not chosen.data.is_dir():
        parser.error(f"{chosen.data} is no folder: make eval DATA=FOLDER, or make eval ARGS=--quick")
    return 1 if report(*measure_all(chosen.data, chosen.only), "eval") else 0


if __name__ == "__main__":
    sys.exit(main())
