"""Grouping of the local network's faces as Immich groups them: `python -m bench.quality.immich_faces DATA`.

`DATA` is a folder of labelled portraits (`labels.csv` with `path` and `label`); the label of an image belongs to the
face nearest its centre. Prints, as a table of Markdown, BCubed F at Immich's default distance for the half of the
people that the shipped mean was not taken from, for the other half with that half's mean, and for all; with the vectors
as they are beside it. Then the same of `dlib`, which is not served and ships no mean, with the mean of the first half.
Ends with status 1 where the first figure is under `GATE`.

Immich's grouping, in words: a face is a core when, with itself, at least `least` faces lie within the distance. A face
takes the person of the nearest of these that has one, a core without any begins a person; faces that are none wait
until all others are through, and stay alone where nobody near has a person.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.quality.face_albums import Album, Reader
from bench.quality.metrics import Score, bcubed
from bench.tools.face_mean import NETWORK, halves, mean_of
from configs.settings import Settings
from deployments.algorithms.faces.centring import centre, load_mean
from deployments.contracts.arrays import Vectors

DISTANCE = 0.5
"""Immich's default `maxDistance`, one minus the cosine."""
LEAST = 3
"""Immich's default `minFaces`."""
GATE = 0.95
OTHER = "dlib"
"""The local engine's other network."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    network: str
    people: str
    vectors: str
    images: int
    score: Score
    strangers: float
    """Share of pairs of different people's faces within the distance."""
    same: float
    """Share of pairs of one person's faces within the distance."""


def group(vectors: Vectors, distance: float = DISTANCE, least: int = LEAST) -> list[int | None]:
    """Group unit vectors `float32[N, D]` in their order. -> the person of each; None: alone"""
    far = 1 - vectors @ vectors.T
    persons: list[int | None] = [None] * len(vectors)
    waiting = []
    for face, row in enumerate(far):
        near = _near(row, distance)
        if len(near) < least:
            waiting.append(face)
            continue
        known = [persons[other] for other in near if persons[other] is not None]
        persons[face] = known[0] if known else face
    for face in waiting:
        known = [persons[other] for other in _near(far[face], distance) if persons[other] is not None]
        persons[face] = known[0] if known else None
    return persons


def _near(row: Vectors, distance: float) -> list[int]:
    """List the faces within the distance, the nearest first."""
    order = np.argsort(row, kind="stable")
    return [int(other) for other in order if row[other] <= distance]


def measure(album: Album, vectors: Vectors) -> tuple[Score, float, float]:
    """Group all faces and score the central ones. -> score, shares of pairs within the distance: strangers, the same"""
    persons = group(vectors)
    clusters = {path: [person] for path, row in album.central.items() if (person := persons[row]) is not None}
    rows = sorted(album.central.values())
    labels = np.array([album.labels[album.paths[row]] for row in rows])
    near = 1 - vectors[rows] @ vectors[rows].T <= DISTANCE
    same = labels[:, None] == labels
    others = same & ~np.eye(len(rows), dtype=bool)
    return bcubed(album.labels, clusters), float(near[~same].mean()), float(near[others].mean())


def rows(network: str, album: Album) -> Iterator[Row]:
    """Measure the halves and all."""
    reference, reported = (album.of(half) for half in halves(sorted(set(album.labels.values()))))
    shipped = load_mean(network)
    shipped = mean_of(reference) if shipped is None else shipped
    for people, part, mean in (
        ("reported half", reported, shipped),
        ("the other half, with the reported half's mean", reference, mean_of(reported)),
        ("all", album, shipped),
    ):
        for said, vectors in (("centred", centre(part.vectors, mean)), ("as they are", part.vectors)):
            yield Row(network, people, said, len(part.labels), *measure(part, vectors))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.immich_faces", description=__doc__)
    parser.add_argument("data", type=Path)
    albums = Reader(parser.parse_args().data, Settings(), [NETWORK, OTHER]).albums("as they are")
    if load_mean(NETWORK) is None:
        raise SystemExit("There is no mean: python -m bench.tools.face_mean")
    found = [row for network, album in albums.items() for row in rows(network, album)]
    sys.stdout.write(
        "| network | people | vectors | images | BCubed F | precision | recall | own pairs within .5 | strangers' |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    for row in found:
        cells = [row.score.f, row.score.precision, row.score.recall, row.same]
        told = " | ".join(f"{cell:.3f}" for cell in cells)
        sys.stdout.write(
            f"| `{row.network}` | {row.people} | {row.vectors} | {row.images} | {told} | {row.strangers:.5f} |\n"
        )
    for network, album in albums.items():
        sys.stdout.write(f"{network}: the mean of all has a length of {float(np.linalg.norm(mean_of(album))):.2f}\n")
    return 0 if found[0].score.f >= GATE else 1


if __name__ == "__main__":
    sys.exit(main())
