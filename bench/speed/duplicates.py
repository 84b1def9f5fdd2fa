"""Growth of the candidate search for duplicates: 10k, 100k and 1M embeddings with planted groups.

    python -m bench.speed.duplicates [--sizes 10000 100000 1000000] [--out out/bench_duplicates.json]

Prints recall of the planted pairs, seconds, growth exponent and peak memory, and compares the 10k case with a search of
all pairs. Each size runs in a process of its own, so that its peak memory is its own.

The vectors are made up: 1280 wide like EfficientNet-lite0's, float16, one view (the whole) a picture. An album's seven
views make three or four stored rows and six or seven queries a picture instead of one each. They imitate photographs,
whose measured values stand in brackets: features after a ReLU, 54 % of them zero (45 %); unrelated pictures at cosine
.29 in the median and .43 at the 99th percentile (.20, .45); pictures of one scene at .5 to .8, the hard negatives;
members of a planted group at .61 at the 5th percentile and .90 in the median (.68, .92).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from deployments.algorithms.duplicates.candidates import find_candidates

_WIDTH, _LATENTS, _TOPICS = 1280, 512, 400
_PICTURES_A_SCENE = 6
_GROUP = 4
"""Images of a planted group: an original and three edits of it."""
_PLANTED_SHARE = 0.1
_MIN_COSINE, _MAX_NEIGHBOURS = 0.55, 10
_BLOCK = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/bench_duplicates.json"))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--exhaustive", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.threads, options.exhaustive)))
        return
    rows = [_in_own_process(size, options.threads) for size in options.sizes]
    for before, after in itertools.pairwise(rows):
        after["growth"] = math.log(after["seconds"] / before["seconds"]) / math.log(after["size"] / before["size"])
    report = {"machine": _machine(), "threads": options.threads, "rows": rows}
    report["exhaustive"] = _in_own_process(min(options.sizes), options.threads, exhaustive=True)
    _print_table(report)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1))


def measure(size: int, threads: int, exhaustive: bool = False) -> dict[str, Any]:
    vectors, planted = make_vectors(size)
    threadpool_limits(1)  # as the deployment does
    made = _peak_bytes()
    start, cpu_start = time.perf_counter(), time.process_time()
    found = find_candidates(
        vectors[:, None], _MIN_COSINE, _MAX_NEIGHBOURS, threads=threads, exact_below=size if exhaustive else 0
    )
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    near = _cosines(vectors, planted) >= _MIN_COSINE
    codes = planted[near, 0] * size + planted[near, 1]
    recall = float(np.isin(codes, found.left * size + found.right).mean())
    return {
        "size": size,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "recall": recall,
        "planted_pairs": int(near.sum()),
        "planted_below_cosine": int((~near).sum()),
        "pairs": len(found.left),
        "vectors_bytes": vectors.nbytes,
        "peak_bytes": _peak_bytes(),
        "peak_before_bytes": made,
    }


def make_vectors(size: int, seed: int = 0) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Make `float16[size, 1280]` and the planted pairs `int64[P, 2]`, of each original with its copies and of these."""
    draw = np.random.default_rng(seed)
    spectrum = (np.arange(_LATENTS) + 4.0) ** -0.4
    mixing = draw.normal(size=(_LATENTS, _WIDTH)) * (spectrum / np.linalg.norm(spectrum))[:, None]
    topics = draw.normal(size=(_TOPICS, _LATENTS))
    groups = int(size * _PLANTED_SHARE) // _GROUP
    sources = size - groups * (_GROUP - 1)
    scene_of = draw.integers(0, max(1, sources // _PICTURES_A_SCENE), sources)
    topic_of = draw.integers(0, _TOPICS, scene_of.max() + 1)
    originals = draw.choice(sources, groups, replace=False)
    # The picture that each is made from; the first ones are made from themselves.
    source_of = np.concatenate([np.arange(sources), np.repeat(originals, _GROUP - 1)])
    # How far an edit moves a picture: most edits little, some (turns, tight crops, frames) much.
    edit = np.concatenate([np.zeros(sources), draw.lognormal(-0.95, 0.7, size - sources)])
    place = draw.permutation(size)
    vectors = np.empty((size, _WIDTH), np.float16)
    for start in range(0, size, _BLOCK):
        part = slice(start, min(size, start + _BLOCK))
        source = source_of[part]
        scenes = scene_of[source]
        latents = 0.55 * topics[topic_of[scenes]]
        latents += 0.65 * _seeded(scenes, 1) + 0.6 * _seeded(source, 2)
        latents += edit[part, None] * draw.normal(size=latents.shape)
        vectors[place[part]] = np.maximum(latents @ mixing - 0.1, 0)
    copies = np.arange(sources, size).reshape(groups, _GROUP - 1)
    members = np.column_stack([originals, copies])
    first, second = np.triu_indices(_GROUP, 1)
    pairs = np.stack([place[members[:, first]].ravel(), place[members[:, second]].ravel()], axis=1)
    return vectors, np.sort(pairs, axis=1)


def _seeded(numbers: NDArray[np.int64], stream: int) -> NDArray[np.float64]:
    """Make the same normal latents for the same number, without keeping those of a million."""
    known, place = np.unique(numbers, return_inverse=True)
    rows = np.stack([np.random.Generator(np.random.SFC64([stream, int(n)])).normal(size=_LATENTS) for n in known])
    return rows[place]


def _cosines(vectors: NDArray[np.float16], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    cosines = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _BLOCK):
        left, right = (vectors[pairs[start : start + _BLOCK, side]].astype(np.float32) for side in (0, 1))
        norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        cosines[start : start + _BLOCK] = (left * right).sum(axis=1) / norms
    return cosines


def _in_own_process(size: int, threads: int, exhaustive: bool = False) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.speed.duplicates", "--one", str(size), "--threads", str(threads)]
    done = subprocess.run(command + ["--exhaustive"] * exhaustive, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _machine() -> str:
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ]
        cpu = f"{names[0]}, {len(names)} cores" if names else cpu
    return f"{platform.node()} ({cpu})"


def _print_table(report: dict[str, Any]) -> None:
    print(f"duplicates, shortlist of one view in {_WIDTH} dimensions, {report['threads']} threads, {report['machine']}")
    names = ("pictures", "seconds", "cpu s", "growth", "recall", "pairs", "peak GB", "vectors GB")
    print("".join(f"{name:>11}" for name in names))
    for row in report["rows"]:
        cells = (
            str(row["size"]),
            f"{row['seconds']:.1f}",
            f"{row['cpu_seconds']:.1f}",
            f"{row['growth']:.2f}" if "growth" in row else "-",
            f"{row['recall']:.4f}",
            str(row["pairs"]),
            f"{row['peak_bytes'] / 1e9:.2f}",
            f"{row['vectors_bytes'] / 1e9:.2f}",
        )
        print("".join(f"{cell:>11}" for cell in cells))
    every = report["exhaustive"]
    print(f"all pairs at {every['size']}: {every['seconds']:.1f} s, recall {every['recall']:.4f}")


if __name__ == "__main__":
    main()
