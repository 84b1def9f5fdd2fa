"""Quality of people's grouping by both face networks: `python -m bench.quality.people DATA` with labelled portraits.

Prints, as tables of Markdown, how the cut decides (BCubed and pairwise F, and the worst of twenty halves of the
people), what a cut chosen on one half of the people gives on the other, the figures of variants of the images, how many
strangers join a person, and how far apart prints of one photograph lie. The label of an image belongs to the face
nearest its centre.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bench.quality.face_albums import Album, Reader, options, score, wrong_joins
from bench.quality.face_variants import VARIANTS
from configs.settings import Settings

CUTS = {"mobilefacenet": np.arange(0.90, 1.125, 0.02), "dlib": np.arange(0.33, 0.425, 0.01)}
SPLITS = 10
STRANGERS = ("as they are", "face 40 px wide", "face 24 px wide", "cut by the border", "out of focus")
"""Variants in which people who are not in an album pass through its images."""


def best_cut(album: Album, network: str) -> float:
    """Choose the middle of the longest run of cuts whose BCubed F is within .005 of the best."""
    cuts = CUTS[network]
    found = np.array([score(album, options(network, float(cut))).bcubed for cut in cuts])
    good = np.flatnonzero(found >= found.max() - 0.005)
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    longest = max(runs, key=len)
    return float(cuts[longest].mean())


def split_people(people: Sequence[str], splits: int = SPLITS) -> list[tuple[list[str], list[str]]]:
    """Draw halves of the people, the same on every run."""
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(sorted(people)).tolist() for _ in range(splits)]
    return [(names[: len(names) // 2], names[len(names) // 2 :]) for names in drawn]


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table as Markdown."""
    lines = [f"\n### {title}\n", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += [
        "| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row) + " |"
        for row in rows
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def print_curve(network: str, album: Album) -> None:
    """Print the figures at each cut, and the worst of the halves."""
    halves = [album.of(half) for pair in split_people(sorted(set(album.labels.values()))) for half in pair]
    rows = []
    for cut in CUTS[network]:
        grouping = options(network, float(cut))
        all_of_them = score(album, grouping)
        worst = min(score(half, grouping).bcubed for half in halves)
        figures = all_of_them.bcubed, all_of_them.pairwise, all_of_them.precision, all_of_them.recall, worst
        rows.append((f"{cut:.2f}", *figures))
    header = ("cut", "BCubed F", "pairwise F", "precision", "recall", f"BCubed F, worst of {len(halves)} halves")
    print_table(f"{network}: how the cut decides", header, rows)


def print_validation(albums: dict[str, Album]) -> None:
    """Print what a cut chosen on one half of the people gives on the other, and the network's own cut on each half."""
    rows = []
    for number, (one, other) in enumerate(split_people(sorted(set(albums["dlib"].labels.values()))), start=1):
        row: list[object] = [number]
        for network, album in albums.items():
            cut = best_cut(album.of(one), network)
            row += [f"{cut:.3f}", score(album.of(other), options(network, cut)).bcubed]
            row += [score(album.of(half), options(network)).bcubed for half in (one, other)]
        rows.append(row)
    header = ["split"]
    for network in albums:
        header += [f"{network}: cut from one half", "F of the other half", "own cut, one half", "other half"]
    print_table("Cross-validation over people", header, rows)


def print_costs(reader: Reader, networks: Iterable[str]) -> None:
    """Print the processor time of the stages so far, and how far prints of one photograph lie apart."""
    rows: list[list[object]] = [
        [stage, f"{1000 * spent / reader.faces:.1f}"] for stage, spent in reader.seconds.items()
    ]
    print_table("Processor time on this machine", ["stage", "ms a face"], rows)
    rows = []
    for network in networks:
        far = reader.prints(network) / options(network).cut
        rows.append([network, *(float(np.quantile(far, share)) for share in (0.5, 0.95, 1.0))])
    print_table("Prints of one photograph, distance as a share of the cut", ["network", "median", "95 %", "most"], rows)


def print_variants(reader: Reader, networks: Sequence[str]) -> None:
    """Print the figures of albums in which every second image is a variant."""
    rows = []
    for variant in VARIANTS:
        figures = [score(album, options(network)) for network, album in reader.albums(variant).items()]
        rows.append([variant, *(value for one in figures for value in (one.bcubed, one.pairwise))])
    header = [f"{network}: {name}" for network in networks for name in ("BCubed F", "pairwise F")]
    print_table("Variants, at each network's own cut", ["every second image", *header], rows)


def print_strangers(reader: Reader, albums: dict[str, Album]) -> None:
    """Print the share of strangers who join a person, as a mean over halves of the people that know the others not."""
    halves = split_people(sorted(set(reader.labels.values())))
    rows = []
    for variant in STRANGERS:
        row: list[object] = [variant]
        strange = reader.albums(variant, every=1)
        for network, album in albums.items():
            shares = [
                wrong_joins(album.of(known), strange[network].of(unknown), options(network))
                for pair in halves
                for known, unknown in (pair, pair[::-1])
            ]
            row.append(float(np.mean(shares)))
        rows.append(row)
    print_table("Strangers who join a person of the other half of the people", ["strangers", *albums], rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.people", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of portraits with a labels.csv of `path` and `label`")
    reader = Reader(parser.parse_args().data, Settings())
    albums = reader.albums("as they are")
    print_costs(reader, albums)
    for network, album in albums.items():
        print_curve(network, album)
    print_validation(albums)
    print_variants(reader, list(albums))
    print_strangers(reader, albums)
    return 0


if __name__ == "__main__":
    sys.exit(main())
