"""Copies by kind of edit, and false merges by kind of trap: `python -m bench.quality.copy_kinds [tuned|reported]`.

With `wallpapers --share SHARE`: of pictures of Debian packages (`bench.quality.scenes` says which) unpacked there.

Photographs that ship in packages are edited in some thirty ways; each kind's edits and the originals are one album,
searched by the product's own algorithms without a server. Traps are sets of pictures that are no copies of one another;
every pair of a set is compared. Limits are set on the half `tuned`; figures are those of `reported`. Prints a table in
Markdown with intervals of 95 % (bootstrap over photographs, or sets), writes `out/copy_kinds_HALF.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from bench.quality.copies import drawn, geometry, overlays, shots, sources, tones
from bench.quality.copies.drawing import Random
from bench.quality.figures import Figure, rate
from configs.settings import Settings
from deployments.algorithms.duplicates.candidates import ALWAYS, find_candidates
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.verdict import verify_pair
from deployments.algorithms.images.views import make_views
from deployments.contracts.albums import LocalFeatures
from deployments.contracts.arrays import Image, Vectors
from deployments.embedding import make_engine

OUT = Path("out")
HALVES = {"tuned": sources.TUNED, "reported": sources.REPORTED}
EDITS = {**geometry.KINDS, **tones.KINDS, **overlays.KINDS}
COLLAGE = "collage"


@dataclass
class Outcome:
    """What became of the pairs of one kind: each unit (a photograph, a set) with its pairs right and asked."""

    right: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    lost: dict[str, list[str]] = field(default_factory=lambda: {"candidates": [], "verification": []})
    """Names of what was missed, by the stage that lost it."""

    def add(self, right: int, asked: int) -> None:
        self.right.append(right)
        self.asked.append(asked)

    @property
    def rate(self) -> float:
        return sum(self.right) / max(1, sum(self.asked))

    @property
    def figure(self) -> Figure:
        return rate(self.right, self.asked)

    def interval(self) -> tuple[float, float]:
        """Bootstrap the rate over units: the 2.5 and 97.5 percentiles."""
        return self.figure.low, self.figure.high


@dataclass
class Results:
    """Outcomes of a half, by kind of edit and by trap."""

    edits: dict[str, Outcome] = field(default_factory=dict)
    traps: dict[str, Outcome] = field(default_factory=dict)
    unlike: int = 0
    """Pairs of edits and other photographs that were called copies."""
    pairs: int = 0
    seconds: float = 0.0
    """Pairs compared, and the time that took."""

    def all_kinds(self) -> Outcome:
        """Add up the kinds of edit. One unit is a photograph with all of its edits, which are not independent."""
        every = Outcome()
        for of_photo in zip(*(outcome.right for outcome in self.edits.values()), strict=True):
            every.add(sum(of_photo), len(of_photo))
        return every

    @property
    def merged(self) -> int:
        """Pairs of traps that were called copies."""
        return sum(sum(one.asked) - sum(one.right) for one in self.traps.values())

    @property
    def precision(self) -> float:
        right = sum(self.all_kinds().right)
        return right / max(1, right + self.merged + self.unlike)


class Search:
    """The product's search, with its settings and engines."""

    def __init__(self, results: Results) -> None:
        self._settings = Settings()
        self._engine = make_engine(self._settings)
        self._results = results

    def embed(self, pictures: list[Image]) -> Vectors:
        """Embed the views of each picture, `float32[N, V, D]`."""
        return np.stack([self._engine.embed(make_views(one, self._engine.input_px)) for one in pictures])

    def candidates(self, vectors: Vectors) -> set[tuple[int, int]]:
        limits = self._settings.duplicates
        found = find_candidates(vectors, limits.min_cosine, limits.max_neighbours, always=ALWAYS)
        return set(zip(found.left.tolist(), found.right.tolist(), strict=True))

    def are_copies(self, left: LocalFeatures, right: LocalFeatures) -> bool:
        started = time.perf_counter()
        verdict = verify_pair(left, right)
        self._results.seconds += time.perf_counter() - started
        self._results.pairs += 1
        return verdict.is_copy


def random_for(*names: str) -> Random:
    """Seed by names, so that a kind's pictures do not depend on which others are made."""
    return np.random.default_rng(crc32("/".join(names).encode()))


def make_edits(kind: str, photos: Mapping[str, Image], half: str) -> list[Image]:
    """Edit each photograph of a half."""
    if kind != COLLAGE:
        return [EDITS[kind](photo, random_for(half, kind, name)) for name, photo in photos.items()]
    # The other tiles are of another half, so that no two collages of an album hold the same original.
    tiles = list(sources.load(HALVES["reported" if half == "tuned" else "tuned"]).values())
    return [
        overlays.collage(photo, [tiles[(place + step) % len(tiles)] for step in range(3)], random_for(half, kind, name))
        for place, (name, photo) in enumerate(photos.items())
    ]


def measure_edits(search: Search, photos: Mapping[str, Image], half: str, kinds: list[str], results: Results) -> None:
    """Search an album of the originals and one kind's edits, kind by kind."""
    names, count = list(photos), len(photos)
    originals, vectors = [describe(one) for one in photos.values()], search.embed(list(photos.values()))
    for kind in kinds:
        edits = make_edits(kind, photos, half)
        features = [*originals, *map(describe, edits)]
        candidates = search.candidates(np.concatenate([vectors, search.embed(edits)]))
        outcome = results.edits[kind] = Outcome()
        for place, name in enumerate(names):
            is_candidate = (place, count + place) in candidates
            is_copy = search.are_copies(features[place], features[count + place])
            outcome.add(is_candidate and is_copy, 1)
            if not is_candidate:
                outcome.lost["candidates"].append(name)
            if not is_copy:
                outcome.lost["verification"].append(name)
        print(f"{kind}: {outcome.rate:.3f} {outcome.lost}", file=sys.stderr, flush=True)
        for left, right in sorted(candidates):
            # A collage is a copy of each of its tiles, so that collages have tiles in common.
            if right - left != count and not (kind == COLLAGE and right >= count):
                results.unlike += search.are_copies(features[left], features[right])


def trap_pairs(pictures: list[Image]) -> list[tuple[Image, Image]]:
    """List the pairs of a set, in the order in which they are compared."""
    return list(itertools.combinations(pictures, 2))


def measure_trap(search: Search, sets: list[list[Image]], outcome: Outcome) -> None:
    """Compare all pairs of each set; a pair that is told apart is right."""
    for number, pictures in enumerate(sets):
        pairs = list(itertools.combinations(map(describe, pictures), 2))
        merged = [place for place, pair in enumerate(pairs) if search.are_copies(*pair)]
        outcome.add(len(pairs) - len(merged), len(pairs))
        outcome.lost["verification"] += [f"{number}/{place}" for place in merged]


def trap_sets(trap: str, photos: dict[str, Image], half: str) -> list[list[Image]]:
    """Make the sets of a trap, of the half's photographs or drawn with seeds of the half."""
    draw = random_for(half, trap)
    if trap in shots.TRAPS:
        return shots.TRAPS[trap](photos, draw)
    return drawn.draw_sets(trap, draw)


def measure(
    half: str, wanted: Callable[[str], bool] = lambda _: True, photos: dict[str, Image] | None = None
) -> Results:
    """Measure the kinds and traps of a half whose names are wanted; `photos`: some of the half's, default: all."""
    photos, results = photos or sources.load(HALVES[half]), Results()
    search = Search(results)
    measure_edits(search, photos, half, [kind for kind in (*EDITS, COLLAGE) if wanted(kind)], results)
    for trap in (*shots.TRAPS, *drawn.TRAPS):
        if wanted(trap):
            results.traps[trap] = Outcome()
            measure_trap(search, trap_sets(trap, photos, half), results.traps[trap])
            print(f"{trap}: {results.traps[trap].rate:.4f}", file=sys.stderr, flush=True)
    return results


def table(results: Results, half: str) -> str:
    """Write the figures as Markdown."""
    lines = [
        f"| {half}: kind of edit | found | interval | not among the candidates | not verified |",
        "|---|---|---|---|---|",
    ]
    for kind, outcome in results.edits.items():
        low, high = outcome.interval()
        at, by = (", ".join(outcome.lost[stage]) for stage in ("candidates", "verification"))
        lines.append(f"| {kind} | {outcome.rate:.3f} | {low:.2f} to {high:.2f} | {at} | {by} |")
    lines += ["", f"| {half}: trap | told apart | interval | pairs | merged |", "|---|---|---|---|---|"]
    for trap, outcome in results.traps.items():
        low, high = outcome.interval()
        merged = sum(outcome.asked) - sum(outcome.right)
        lines.append(f"| {trap} | {outcome.rate:.4f} | {low:.3f} to {high:.3f} | {sum(outcome.asked)} | {merged} |")
    return "\n".join([*lines, "", *_summary(results)])


def _summary(results: Results) -> list[str]:
    every = results.all_kinds()
    lines = []
    if every.asked:
        low, high = every.interval()
        lines.append(f"recall {every.rate:.4f} ({low:.3f} to {high:.3f}) over {len(results.edits)} kinds")
    lines.append(f"precision {results.precision:.4f}: {sum(every.right)} right")
    lines.append(f"{results.unlike} unlike pairs merged, {results.merged} pairs of traps merged")
    return [*lines, f"{1000 * results.seconds / max(1, results.pairs):.1f} ms a pair over {results.pairs} pairs"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.copy_kinds", description=__doc__)
    parser.add_argument("half", choices=[*sorted(HALVES), "wallpapers"], nargs="?", default="reported")
    parser.add_argument("--share", type=Path, help="usr/share of the unpacked packages, for wallpapers")
    parser.add_argument("--only", nargs="*", help="kinds and traps to measure; default: all")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    wanted = set(arguments.only or ())
    if arguments.half == "wallpapers" and arguments.share is None:
        parser.error("wallpapers are read from --share")
    photos = sources.load_wallpapers(arguments.share) if arguments.half == "wallpapers" else None
    results = measure(arguments.half, lambda name: not wanted or name in wanted, photos)
    print(table(results, arguments.half))
    OUT.mkdir(exist_ok=True)
    content = {
        name: {"rate": one.rate, "interval": one.interval(), "lost": one.lost}
        for name, one in (results.edits | results.traps).items()
    }
    (OUT / f"copy_kinds_{arguments.half}.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
