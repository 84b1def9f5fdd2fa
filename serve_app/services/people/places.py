"""Places of faces in file contents: how what was said of a face finds it again. Pure.

A place is a content's SHA-256 and a box in shares of its width and height. A face is the one at a place where their
boxes overlap by half or more, the most overlapping one: so it is found by another network, whose boxes are drawn a
little differently, and in the same file when that comes back after it was deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.links import Links
from deployments.algorithms.people.moving import SAME_PLACE_IOU
from serve_app.store.repositories.corrections import Correction, Place

Pairs = NDArray[np.int64]


class PlacedFaces:
    """Faces by their places."""

    def __init__(
        self,
        shas: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        pictures: NDArray[np.int64],
        boxes: NDArray[np.float32],
    ) -> None:
        """`shas`, `sizes`: contents with width and height in pixels; `pictures` `int64[N]`: the content of each face;
        `boxes` `float32[N, 4]`: `(x1, y1, x2, y2)` in pixels."""
        self._shas = shas
        self._pictures = pictures
        self._index = {sha: index for index, sha in enumerate(shas)}
        scale = np.array([(*size, *size) for size in sizes], np.float32).reshape(-1, 4)
        self._boxes = np.asarray(boxes / np.maximum(scale[pictures], 1), np.float32) if len(pictures) else boxes
        order = np.argsort(pictures, kind="stable")
        self._order, self._starts = order, np.searchsorted(pictures[order], np.arange(len(shas) + 1))

    def find(self, place: Place) -> int | None:
        """Find the face at a place, its index; None: there is none."""
        face = int(self.find_all([place])[0])
        return None if face < 0 else face

    def find_all(self, places: Sequence[Place]) -> NDArray[np.int64]:
        """Find the faces at places, `int64[P]`; -1: there is none."""
        found = np.full(len(places), -1)
        contents = [-1 if place.box is None else self._index.get(place.sha256, -1) for place in places]
        content = np.array(contents, np.int64)
        counts = np.where(content < 0, 0, self._starts[content + 1] - self._starts[content])
        if not counts.sum():
            return found
        pair = np.repeat(np.arange(len(places)), counts)
        row = self._order[self._starts[content[pair]] + np.arange(len(pair)) - (np.cumsum(counts) - counts)[pair]]
        boxes = np.array([place.box or (0, 0, 0, 0) for place in places], np.float32)
        shared = _overlap(boxes[pair], self._boxes[row])
        best = np.lexsort((-shared, pair))
        best = best[np.unique(pair[best], return_index=True)[1]]
        best = best[shared[best] >= SAME_PLACE_IOU]
        found[pair[best]] = row[best]
        return found

    def place_of(self, face: int) -> Place:
        """Describe where a face is. `face`: its index."""
        x1, y1, x2, y2 = (float(value) for value in self._boxes[face])
        return Place(self._shas[int(self._pictures[face])], (x1, y1, x2, y2))


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was said of faces that are there."""

    must: Pairs
    """`int64[M, 2]`, indices of faces."""
    cannot: Pairs
    """`int64[C, 2]`."""
    sources: list[str]
    """Ids of the corrections that the rows of `cannot` are of."""
    doubted: NDArray[np.int64]
    """Faces of which something was said and taken back: the people that they are of are worked out anew."""

    @property
    def is_empty(self) -> bool:
        return not len(self.must) and not len(self.cannot)


def resolve(standing: Iterable[Correction], undone: Iterable[Correction], faces: PlacedFaces) -> Resolved:
    """Find the faces that links are about. What binds or parts two of them may run over faces that are not there.

    Where two places have come to be one face, what is left of their links cannot contradict itself: cannot-links give
    way.
    """
    said = [(one, one.b) for one in standing if one.b is not None]
    must = [(one.a, b) for one, b in said if one.kind == "must"]
    cannot = [(one, b) for one, b in said if one.kind == "cannot"]
    places = list(dict.fromkeys(end for one, b in said for end in (one.a, b)))
    number = {place: index for index, place in enumerate(places)}
    at = faces.find_all(places).tolist()
    face_at = {place: face for place, face in zip(places, at, strict=True) if face >= 0}

    root = _united(len(places), [(number[a], number[b]) for a, b in must])
    members: dict[int, list[int]] = defaultdict(list)
    for place, face in face_at.items():
        members[root[number[place]]].append(face)
    # What is bound is somebody's, also while what it is bound to is not there.
    bound = [(face_at[end], face_at[end]) for pair in must for end in pair if end in face_at]
    bound += [pair for of in members.values() for pair in pairwise(of)]
    parted: list[tuple[int, int, str]] = []
    for link, b in cannot:
        if link.a == b:
            parted += [(face_at[b], face_at[b], link.id)] if b in face_at else []
            continue
        one, other = members.get(root[number[link.a]]), members.get(root[number[b]])
        if one and other and one[0] != other[0]:
            parted.append((one[0], other[0], link.id))
            if link.value.get("either"):
                parted.append((other[0], one[0], link.id))
    ends = {end for one in undone for end in (one.a, one.b) if end is not None}
    doubted = np.unique(faces.find_all(list(ends)))
    return Resolved(*_consistent(bound, parted), doubted[doubted >= 0])


def _consistent(must: list[tuple[int, int]], cannot: list[tuple[int, int, str]]) -> tuple[Pairs, Pairs, list[str]]:
    """Leave out the cannot-links that must-links close."""
    faces = sorted({end for pair in must for end in pair} | {end for pair in cannot for end in pair[:2]})
    number = {face: index for index, face in enumerate(faces)}
    root = _united(len(faces), [(number[a], number[b]) for a, b in must])
    claimed = {end for pair in must for end in pair}
    kept = [one for one in cannot if _is_open(one, number, root, claimed)]
    return _pairs(must), _pairs([(a, b) for a, b, _ in kept]), [source for _, _, source in kept]


def _is_open(link: tuple[int, int, str], number: dict[int, int], root: list[int], claimed: set[int]) -> bool:
    a, b, _ = link
    return a not in claimed if a == b else root[number[a]] != root[number[b]]


def _pairs(pairs: list[tuple[int, int]]) -> Pairs:
    return np.array(pairs, np.int64).reshape(-1, 2)


def _united(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Unite what pairs bind. -> the union of each, by number"""
    links = Links(count, _pairs(pairs), _pairs([]))
    return links.unite(np.arange(count))[1].tolist() if count else []


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Measure how far boxes overlap, each with that in the same row: intersection over union, `float32[N]`."""
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    areas = (one[:, 2:] - one[:, :2]).prod(axis=1) + (other[:, 2:] - other[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-12), np.float32)
