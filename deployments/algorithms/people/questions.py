"""Questions about faces whose answers help most: those about which the rule is least sure.

Of two people: are they the same? They are asked of where the rule nearly united them: their mean squared distance is
that at which it decides, or a little beyond. Of a face and a person: is it this one? Asked of faces that lie far from
the others of their person, and of such that nearly joined one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.label_matching import Labels
from deployments.algorithms.people.neighbours import Forest, nearest
from deployments.contracts.arrays import Vectors

QuestionKind = Literal["same", "is"]
MOST = 200
"""Questions that are kept; a user answers some tens at a time."""
REACH = 1.5
"""Share of the cut up to which two people are asked of: at 1.25 questions ran out while people were still parted
(bench.quality.answers); the order asks of the likely ones first."""
LISTED = 8
"""Nearest people that each person is compared with."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about two faces: are they one person?"""

    kind: QuestionKind
    """same: of the people of both. is: of the first face, and the person of the other."""
    face: int
    """Index of a face, as is `other`."""
    other: int
    likeness: float
    """0 to 1, more for more alike; .5 where the rule decides."""

    @property
    def doubt(self) -> float:
        """Distance from where the rule decides, 0 to .5: the less, the less sure it is."""
        return abs(self.likeness - 0.5)


@dataclass(frozen=True, slots=True)
class Asked:
    """Faces `[N]` that questions are about."""

    vectors: Vectors
    """Unit vectors `float32[N, D]`."""
    pictures: NDArray[np.int64]
    quality: Vectors
    labels: Labels


def find_questions(faces: Asked, cut: float, parted: NDArray[np.int64], bound: NDArray[np.int64]) -> list[Question]:
    """Find the questions that help most, the least sure first.

    `parted`, `bound` `int64[L, 2]`: pairs of faces that were said not to be, or to be one person: what follows from
    them is not asked.
    """
    rows = np.flatnonzero(faces.labels >= 0)
    if len(rows) < 2:
        return []
    named, person, sizes = np.unique(faces.labels[rows], return_inverse=True, return_counts=True)
    sums = np.zeros((len(named), faces.vectors.shape[1]), np.float64)
    np.add.at(sums, person, faces.vectors[rows])
    means = (sums / sizes[:, None]).astype(np.float32)
    best = _best_faces(rows, person, means, faces)
    of_face = dict(zip(rows.tolist(), person.tolist(), strict=True))
    known = {_ordered(of_face[a], of_face[b]) for a, b in parted.tolist() if a in of_face and b in of_face}
    told = set(bound.ravel().tolist())
    asked = _of_people(means, person, rows, faces.pictures, cut, known, best)
    asked += _of_faces(means, person, rows, sizes, faces, cut, told, best)
    return sorted(asked, key=lambda one: (one.doubt, one.kind, one.face, one.other))[:MOST]


def _best_faces(rows: NDArray[np.int64], person: NDArray[np.int64], means: Vectors, faces: Asked) -> list[int]:
    """Find the face of each person that shows it best: near its mean, and of a good quality."""
    nearness = np.einsum("nd,nd->n", faces.vectors[rows], means[person]) * np.clip(faces.quality[rows], 0, 1)
    order = np.lexsort((rows, -nearness, person))
    first = np.unique(person[order], return_index=True)[1]
    return [int(row) for row in rows[order[first]]]


def _of_people(
    means: Vectors,
    person: NDArray[np.int64],
    rows: NDArray[np.int64],
    pictures: NDArray[np.int64],
    cut: float,
    known: set[tuple[int, int]],
    best: list[int],
) -> list[Question]:
    floor = max(1 - (REACH * cut) ** 2 / 2, 1e-3)
    near = nearest(means, np.arange(len(means)), min(LISTED, max(1, len(means) - 1)), floor, Forest())
    held: list[set[int]] = [set() for _ in means]
    for place, picture in zip(person.tolist(), pictures[rows].tolist(), strict=True):
        held[place].add(picture)
    found: dict[tuple[int, int], Question] = {}
    for here, (others, similarity) in enumerate(zip(near.ids.tolist(), near.similarity.tolist(), strict=True)):
        for other, alike in zip(others, similarity, strict=True):
            pair = _ordered(here, other)
            if other < 0 or pair in known or pair in found or not held[here].isdisjoint(held[other]):
                continue
            found[pair] = Question("same", best[pair[0]], best[pair[1]], _likeness(alike, cut))
    return list(found.values())


def _of_faces(
    means: Vectors,
    person: NDArray[np.int64],
    rows: NDArray[np.int64],
    sizes: NDArray[np.int64],
    faces: Asked,
    cut: float,
    told: set[int],
    best: list[int],
) -> list[Question]:
    """Ask of the faces that lie farthest from the others of their person."""
    many = sizes[person] > 1
    rows, person = rows[many], person[many]
    count = sizes[person].astype(np.float32)
    own = np.einsum("nd,nd->n", faces.vectors[rows], means[person])
    others = (own * count - 1) / (count - 1)  # without the face itself
    far = np.argsort(others, kind="stable")[:MOST]
    return [
        Question("is", face, best[place], _likeness(alike, cut))
        for face, place, alike in zip(rows[far].tolist(), person[far].tolist(), others[far].tolist(), strict=True)
        if face not in told and face != best[place]
    ]


def _likeness(similarity: float, cut: float) -> float:
    """Scale the root-mean-square distance of groups with this mean product to 1 at 0 and .5 at the cut."""
    distance = float(np.sqrt(max(0.0, 2 - 2 * similarity)))
    return max(0.0, 1 - distance / (2 * cut))


def _ordered(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
