"""Writer of `deployments/assets/faces/mobilefacenet_mean.toml`, the mean vector of faces by the local network:

    python -m bench.tools.face_mean DATA

`DATA` is a folder of labelled portraits (`labels.csv` with `path` and `label`). Every second person, by name, is the
reference; the others are what `bench.quality.immich_faces` reports on. A person counts as often as it is seen, as in
the albums that the vectors come from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.quality.face_albums import Album, Reader
from configs.settings import Settings
from deployments.algorithms.faces.centring import DATA
from deployments.contracts.arrays import Vectors

NETWORK = "mobilefacenet"
_HEAD = """\
# Mean of the unit vectors of {faces} faces in {images} portraits of {people} people (Labeled Faces in the Wild), each
# second one by name: `python -m bench.tools.face_mean`. Docs: docs/immich.md.
network = "{network}"
mean = [
"""
_IN_A_ROW = 8


def halves(people: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide people by name. -> those of the reference, those to report on"""
    ordered = sorted(people)
    return ordered[::2], ordered[1::2]


def mean_of(album: Album) -> Vectors:
    """Compute the mean vector of an album's faces, `float32[D]`."""
    return np.asarray(album.vectors.mean(axis=0), np.float32)


def spelled(album: Album, mean: Vectors) -> str:
    """Spell the file."""
    numbers = [f"{number:.6f}" for number in mean]
    rows = [", ".join(numbers[start : start + _IN_A_ROW]) for start in range(0, len(numbers), _IN_A_ROW)]
    counts = {"faces": len(album.paths), "images": len(album.labels), "people": len(set(album.labels.values()))}
    return _HEAD.format(network=NETWORK, **counts) + "".join(f"  {row},\n" for row in rows) + "]\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tools.face_mean", description=__doc__)
    parser.add_argument("data", type=Path)
    album = Reader(parser.parse_args().data, Settings(), [NETWORK]).albums("as they are")[NETWORK]
    reference = album.of(halves(sorted(set(album.labels.values())))[0])
    file = DATA / f"{NETWORK}_mean.toml"
    file.write_text(spelled(reference, mean_of(reference)), encoding="utf-8")
    sys.stdout.write(f"{file}: {len(reference.paths)} faces\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
