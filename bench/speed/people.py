"""Speed of clustering people at scale: `python -m bench.speed.people`, on synthetic albums of up to 100,000 faces.

Sizes are 1,000, 10,000 and 100,000. Seconds are of the processor, one core, each size in a process of its own: on a
busy machine the clock on the wall measures the neighbours. The smaller sizes are timed several times and the least is
kept. Growth exponents are those of seconds over faces; 1,000 to 10,000 goes from comparing all pairs of an album that
fits the cache to the forest.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from math import log10
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.quality.metrics import Score
from bench.report import Report
from bench.speed.synthetic_faces import SyntheticAlbum, invent_album
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.incremental import add_faces
from deployments.algorithms.people.neighbours import Forest

SIZES = (1_000, 10_000, 100_000)
ADDED = 100
TIMED_FACES = 30_000
"""Number of faces grouped in all when one size is timed several times."""


@dataclass(frozen=True, slots=True)
class Measured:
    cpu_s: float
    wall_s: float
    peak_mb: float
    """Memory beyond the input, MB."""
    score: Score


def bcubed_of(labels: NDArray[np.int64], people: NDArray[np.int64]) -> Score:
    """Score BCubed over the faces that belong to a person; arrays of 100,000 in milliseconds."""
    _, cluster, size = np.unique(labels[labels >= 0], return_inverse=True, return_counts=True)
    _, person, album = np.unique(people[labels >= 0], return_inverse=True, return_counts=True)
    _, both, shared = np.unique(cluster * len(album) + person, return_inverse=True, return_counts=True)
    return Score(float(np.mean(shared[both] / size[cluster])), float(np.mean(shared[both] / album[person])))


def measure_grouping(file: Path, grouping: ClusteringOptions) -> Measured:
    album = _load(file)
    before = _peak_kb()
    timings = []
    for _ in range(max(1, TIMED_FACES // len(album.people))):
        cpu, wall = time.process_time(), time.perf_counter()
        labels = group_faces(album.vectors, album.pictures, album.quality, grouping)
        timings.append((time.process_time() - cpu, time.perf_counter() - wall))
    return Measured(*min(timings), (_peak_kb() - before) / 1024, bcubed_of(labels, album.people))


def measure_addition(file: Path, grouping: ClusteringOptions) -> Measured:
    """Measure adding `ADDED` faces, chosen at random, to the rest; scored like the whole."""
    album = _load(file)
    new = np.zeros(len(album.people), bool)
    new[np.random.default_rng(1).choice(len(new), ADDED, replace=False)] = True
    previous = np.full(len(new), -2)
    previous[~new] = group_faces(album.vectors[~new], album.pictures[~new], album.quality[~new], grouping)
    timings = []
    for _ in range(3):
        cpu, wall = time.process_time(), time.perf_counter()
        labels = add_faces(album.vectors, album.pictures, album.quality, previous, grouping)
        timings.append((time.process_time() - cpu, time.perf_counter() - wall))
    return Measured(*min(timings), 0.0, bcubed_of(labels, album.people))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    # One core a call, as in a replica; read when the measuring processes start.
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    report = Report("people")
    spent: dict[int, Measured] = {}
    with tempfile.TemporaryDirectory() as folder:
        for faces in SIZES:
            file = Path(folder) / f"{faces}.npz"
            np.savez(file, **asdict(invent_album(faces, seed)))
            spent[faces] = found = _apart(measure_grouping, file, ClusteringOptions())
            report.add(f"{faces} faces", found.cpu_s, "s, one core")
            report.add(f"{faces} faces, clock", found.wall_s, "s")
            report.add(f"{faces} faces, memory beyond the input", found.peak_mb, "MB")
            report.add(f"{faces} faces, BCubed precision", found.score.precision, "")
            report.add(f"{faces} faces, BCubed recall", found.score.recall, "")
            report.add(f"{faces} faces, BCubed F", found.score.f, "")
            if faces == SIZES[1]:
                every_pair = _apart(measure_grouping, file, ClusteringOptions(forest=Forest(leaf_points=faces)))
                report.add(f"{faces} faces, BCubed F by comparing all pairs", every_pair.score.f, "")
                report.add(
                    "F lost by not comparing them", every_pair.score.f - found.score.f, "", target=0.005, at_most=True
                )
        for small, large in itertools.pairwise(SIZES):
            growth = log10(spent[large].cpu_s / spent[small].cpu_s) / log10(large / small)
            report.add(f"growth exponent, {small} to {large}", growth, "", target=1.25, at_most=True)
        added = _apart(measure_addition, file, ClusteringOptions())
        whole = spent[SIZES[-1]]
        report.add(f"{ADDED} faces added to {SIZES[-1]}", added.cpu_s, "s, one core")
        report.add("of grouping all anew", added.cpu_s / whole.cpu_s, "", target=0.02, at_most=True)
        report.add("F lost by adding", whole.score.f - added.score.f, "", target=0.001, at_most=True)
    report.finish()


def _load(file: Path) -> SyntheticAlbum:
    with np.load(file) as columns:
        return SyntheticAlbum(**columns)


def _peak_kb() -> int:
    """Largest resident size of this process so far, kB (that of `getrusage` includes its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def _apart(measure: Callable[[Path, ClusteringOptions], Measured], file: Path, grouping: ClusteringOptions) -> Measured:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, file, grouping).result()


if __name__ == "__main__":
    main()
