"""What the search for duplicate candidates costs in large albums: `python -m bench.speed.large_vectors`.

    python -m bench.speed.large_vectors [--sizes 1000 10000 100000] [--folder DIR] [--steps fill first one hundred]

Fills an embedded PostgreSQL with made-up vectors, seven views a picture, and searches an album of them as a worker
does: for the first time, with one picture more, with a hundred more. Prints time, peak memory, bytes and recall, and
how the cost grows from size to size. The engine runs in the same process, so memory is that of worker and engine
together; the comparison of pictures themselves, which is the same for each pair at any size, is left out. Each step is
a process of its own. With `--folder` the databases stay, and steps can be run one by one.

Recall is of 100 pictures' candidate pairs, against a comparison of these with all pictures and all views. "Copies" are
the planted ones among these pairs, which is what geometry would accept.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import machine
from bench.speed.vector_albums import MORE, VectorAlbum

_STEPS = ("fill", "first", "one", "hundred")
_ADDED = {"first": 0, "one": 1, "hundred": MORE}
_SEEN = ("seconds", "cpu_seconds", "peak_mb", "recall", "recall_copies", "asked", "pairs", "index_mb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--steps", nargs="+", choices=_STEPS, default=_STEPS)
    parser.add_argument("--folder", type=Path, help="keeps databases and figures; default: a temporary one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        size, step = int(options.one[0]), options.one[1]
        print(json.dumps(asyncio.run(_measure(options.folder / str(size), size, step, options.threads))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for size, step in itertools.product(options.sizes, options.steps):
            (folder / str(size)).mkdir(parents=True, exist_ok=True)
            found = _in_own_process(folder, size, step, options.threads)
            (folder / str(size) / f"{step}.json").write_text(json.dumps(found))
        _print_tables(folder)


async def _measure(folder: Path, size: int, step: str, threads: int) -> dict[str, float]:
    async with VectorAlbum.open(folder, size, threads) as album:
        if step == "fill":
            started = time.monotonic()
            await album.fill()
            return {"seconds": time.monotonic() - started}
        if step == "first":
            await album.forget()
        before = _peak_bytes()
        started, cpu_started = time.monotonic(), time.process_time()
        found = await album.search(size + _ADDED[step])
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
        peak = _peak_bytes() - before
        asked = album.finder.asked
        recall = await album.recall(found, size, _ADDED[step])
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "peak_mb": peak / 1e6,
            "asked": asked,
            "pairs": len(found.pairs.left),
            "index_mb": album.kept_bytes() / 1e6,
            **recall,
        }


def _in_own_process(folder: Path, size: int, step: str, threads: int) -> dict[str, float]:
    options = ["--folder", str(folder), "--threads", str(threads), "--one", str(size), step]
    command = [sys.executable, "-m", "bench.speed.large_vectors", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _print_tables(folder: Path) -> None:
    print(f"search for duplicate candidates, vectors of seven views: {machine()}")
    for step in _STEPS[1:]:
        rows: list[tuple[int, dict[str, Any]]] = sorted(
            (int(file.parent.name), json.loads(file.read_text())) for file in folder.glob(f"*/{step}.json")
        )
        print(f"\n{step} ({_ADDED[step]} more)\n" + "".join(f"{name:>14}" for name in ("pictures", *_SEEN, "growth")))
        before: tuple[int, dict[str, Any]] | None = None
        for size, row in rows:
            growth = "-"
            if before:
                ratio = row["cpu_seconds"] / before[1]["cpu_seconds"]
                growth = f"{math.log(ratio) / math.log(size / before[0]):.2f}"
            cells = [f"{row[name]:.4g}" if name in row else "-" for name in _SEEN]
            print("".join(f"{cell:>14}" for cell in (str(size), *cells, growth)))
            before = (size, row)


if __name__ == "__main__":
    main()
