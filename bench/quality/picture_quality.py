"""Order of damaged photographs by quality, and which copy is kept: `python -m bench.quality.picture_quality
[tuned|reported]`.

Photographs that ship in packages are damaged at four rising strengths. The score of the quality assessment must be
higher for the less damaged one of each pair of a photograph: of one kind, and of unlike kinds where the strengths lie
two or more apart. Stored as JPEG files, the undamaged one is the one to keep. A tie is wrong. Constants were set on the
half `tuned`; figures are those of `reported`. Prints a table in Markdown with intervals of 95 % (bootstrap over
photographs), writes `out/picture_quality_HALF.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from bench.quality.copies import sources
from bench.quality.copies.drawing import jpeg_bytes
from bench.quality.copy_kinds import HALVES, Outcome, random_for
from bench.quality.damages import KINDS, LEVELS, damage, to_full_range
from deployments.algorithms.duplicates.groups import Member, choose_keeper
from deployments.algorithms.images.quality import assess
from deployments.contracts.arrays import Image

OUT = Path("out")
UNLIKE = "unlike kinds, strengths two or more apart"
_JPEG_QUALITY = 90
"""Quality of the files among which one is kept."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged photograph."""

    kind: str
    level: int
    score: float
    member: Member


def damaged_versions(name: str, photo: Image) -> list[Damaged]:
    """Damage a photograph in each way and strength; the undamaged one is of every kind, at level 0."""
    reference = to_full_range(photo)
    versions = []
    for kind, level in itertools.product(KINDS, LEVELS):
        image = damage(kind, reference, level, random_for(name, kind, str(level)))
        height, width = image.shape[:2]
        score = assess(image).score
        member = Member(f"{kind} {level}", width, height, len(jpeg_bytes(image, _JPEG_QUALITY)), "image/jpeg",
                        quality=score)  # fmt: skip
        versions.append(Damaged(kind, level, score, member))
    return versions


def judge(versions: list[Damaged]) -> Iterator[tuple[str, str, bool]]:
    """Judge all pairs of a photograph's versions. -> the row that a pair counts in, its name, whether it is right"""
    for better, worse in itertools.permutations(versions, 2):
        name = f"{better.member.key} / {worse.member.key}"
        if better.kind == worse.kind and better.level < worse.level:
            yield better.kind, name, better.score > worse.score
        elif better.kind != worse.kind and better.level >= 1 and worse.level - better.level >= 2:
            yield UNLIKE, name, better.score > worse.score
        if better.kind == worse.kind and better.level == 0 < worse.level:
            yield f"kept: {better.kind}", name, choose_keeper([better.member, worse.member])[0] == better.member.key


def measure(photos: Mapping[str, Image]) -> dict[str, Outcome]:
    """Measure the share of pairs in the right order, each photograph a unit."""
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    for photo_name, photo in photos.items():
        judged = defaultdict(list)
        for row, name, right in judge(damaged_versions(photo_name, photo)):
            judged[row].append(right)
            if not right:
                outcomes[row].lost["verification"].append(f"{photo_name}: {name}")
        for row, rights in judged.items():
            outcomes[row].add(sum(rights), len(rights))
    return {row: outcomes[row] for row in (*KINDS, UNLIKE, *(f"kept: {kind}" for kind in KINDS))}


def versions_of(mistake: str, photos: Mapping[str, Image]) -> list[Image]:
    """Draw the two versions of a pair that `measure` lost, the better one first."""
    photo, _, pair = mistake.partition(": ")
    reference = to_full_range(photos[photo])
    versions = []
    for version in pair.split(" / "):
        kind, _, level = version.rpartition(" ")
        versions.append(damage(kind, reference, int(level), random_for(photo, kind, level)))
    return versions


def table(outcomes: Mapping[str, Outcome], half: str) -> str:
    """Write the figures as Markdown."""
    lines = [f"| {half}: pairs | in the right order | interval | of |", "|---|---|---|---|"]
    for row, outcome in outcomes.items():
        low, high = outcome.interval()
        lines.append(f"| {row} | {outcome.rate:.3f} | {low:.2f} to {high:.2f} | {sum(outcome.asked)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.picture_quality", description=__doc__)
    parser.add_argument("half", choices=sorted(HALVES), nargs="?", default="reported")
    half: str = parser.parse_args().half
    cv2.setNumThreads(1)
    outcomes = measure(sources.load(HALVES[half]))
    print(table(outcomes, half))
    OUT.mkdir(exist_ok=True)
    content = {
        row: {"rate": one.rate, "interval": one.interval(), "lost": one.lost["verification"]}
        for row, one in outcomes.items()
    }
    (OUT / f"picture_quality_{half}.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
