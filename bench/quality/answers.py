"""What answers to suggestions are worth: `python -m bench.quality.answers DATA` with labelled portraits.

A user who is always right answers the questions of `algorithms.people.questions` one by one, the least sure first;
after each answer all faces are grouped anew with what was said. The same with questions drawn at random: of two people,
or of a face and its person. Prints BCubed F by the number of answers, how often it fell, and writes docs/answers.svg.
Every second image is out of focus, so that there are mistakes to be found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.faults.svg import line_chart
from bench.quality.face_albums import Album, Reader, options
from bench.quality.metrics import bcubed
from bench.quality.people import print_table
from configs.settings import Settings
from deployments.algorithms.people.clusters import ClusteringOptions, group_faces
from deployments.algorithms.people.links import Links
from deployments.algorithms.people.questions import Asked, Question, find_questions

VARIANT = "out of focus"
ANSWERS = 60
DRAWS = 5
"""Users who are asked at random; their mean is told."""
SHOWN = (0, 5, 10, 20, 30, 40, 60)
Pair = tuple[int, int]


class Answering:
    """A user who answers questions about an album and is always right."""

    def __init__(self, album: Album, grouping: ClusteringOptions) -> None:
        self._album = album
        self._grouping = grouping
        images = {path: place for place, path in enumerate(sorted(album.labels))}
        self._pictures = np.array([images[path] for path in album.paths], np.int64)
        self._owner = {row: album.labels[path] for path, row in album.central.items()}
        self._must: list[Pair] = []
        self._cannot: list[Pair] = []
        self._asked: set[tuple[str, int, int]] = set()
        self.labels = self._group()

    @property
    def f(self) -> float:
        """BCubed F of the central faces."""
        clusters = {path: [int(self.labels[row])] for path, row in self._album.central.items() if self.labels[row] >= 0}
        return bcubed(self._album.labels, clusters).f

    def questions(self) -> list[Question]:
        """List what the product would ask, the least sure first; of faces whose person is known to the user."""
        faces = Asked(self._album.vectors, self._pictures, self._album.quality, self.labels)
        return self._open(find_questions(faces, self._grouping.cut, _pairs(self._cannot), _pairs(self._must)))

    def any_questions(self, rng: np.random.Generator) -> list[Question]:
        """Draw questions of two people and of a face and its person."""
        rows = [row for row in self._owner if self.labels[row] >= 0]
        drawn = []
        for _ in range(50):
            one, other = rng.choice(rows, 2, replace=False).tolist()
            drawn.append(Question("is" if self.labels[one] == self.labels[other] else "same", one, other, 0.5))
        return self._open(drawn)

    def _open(self, found: Sequence[Question]) -> list[Question]:
        known = [one for one in found if one.face in self._owner and one.other in self._owner]
        return [one for one in known if (one.kind, one.face, one.other) not in self._asked]

    def answer(self, question: Question) -> None:
        """Answer a question rightly, and have the faces grouped anew."""
        self._asked.add((question.kind, question.face, question.other))
        pair = (question.face, question.other)
        if self._owner[pair[0]] == self._owner[pair[1]]:
            self._must.append(pair)
        else:  # of two people neither is the one that leaves
            self._cannot += [pair, pair[::-1]] if question.kind == "same" else [pair]
        self.labels = self._group()

    def _group(self) -> NDArray[np.int64]:
        album = self._album
        links = Links(len(album.paths), _pairs(self._must), _pairs(self._cannot))
        return group_faces(album.vectors, self._pictures, album.quality, self._grouping, links)


def _pairs(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    return np.array(pairs, np.int64).reshape(-1, 2)


def curve(
    album: Album, grouping: ClusteringOptions, answers: int, rng: np.random.Generator | None = None
) -> list[float]:
    """Answer questions one by one: those that are suggested, or with `rng` any. -> BCubed F after each, that before all
    first; where no question is left the last stays"""
    user = Answering(album, grouping)
    found = [user.f]
    for _ in range(answers):
        asked = user.questions() if rng is None else user.any_questions(rng)
        if asked:
            user.answer(asked[0])
        found.append(user.f)
    return found


def falls(found: Sequence[float]) -> int:
    """Count the answers after which F was lower than before."""
    return sum(after < before - 1e-9 for before, after in pairwise(found))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.answers", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of portraits with a labels.csv of `path` and `label`")
    parser.add_argument("--plot", type=Path, default=Path("docs/answers.svg"))
    arguments = parser.parse_args()
    albums = Reader(arguments.data, Settings()).albums(VARIANT)
    lines = {}
    for network, album in albums.items():
        grouping = options(network)
        suggested = curve(album, grouping, ANSWERS)
        drawn = [curve(album, grouping, ANSWERS, np.random.default_rng(seed)) for seed in range(DRAWS)]
        anyhow = np.mean(drawn, axis=0).tolist()
        rows = [(str(count), suggested[count], anyhow[count]) for count in SHOWN]
        print_table(f"{network}: BCubed F by answers", ("answers", "suggested", "at random"), rows)
        fell = (falls(suggested), sum(map(falls, drawn)))
        print_table("Answers after which it fell", ("suggested", "at random, all draws"), [tuple(map(str, fell))])
        lines[f"{network}, suggested"] = list(enumerate(suggested))
        lines[f"{network}, random"] = list(enumerate(anyhow))
    title = "BCubed F by the number of answers"
    arguments.plot.write_text(line_chart(title, "answers", "F", lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
