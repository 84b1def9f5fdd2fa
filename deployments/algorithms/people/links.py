"""Links between faces that a grouping has to hold: pairs that are one person, pairs that are not.

A pair of a face with itself says something of that face alone: in `must`, that it is somebody's however poor it is; in
`cannot`, that it is nobody's. Of two faces that are not one person the first is the one that leaves where both are in
one group; a pair that is given both ways says nothing of that. Faces that must-links bind are a unit, and two units
that a cannot-link parts have a token in common. How groups hold them is in `holding`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.label_matching import Labels

Ids = NDArray[np.int64]
Subject = TypeVar("Subject", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Bonds:
    """What links say of faces that take part in a grouping."""

    unit: Ids
    """The unit of each of K faces, `int64[K]`; -1: nothing is said of it."""
    tokens: Sequence[frozenset[int]]
    """By unit: what it shares with units that it must not be one with; below 0, as no image is."""
    leaving: Sequence[frozenset[int]]
    """By unit: those of its tokens for which it is the one that leaves."""

    def closed(self, labels: Labels) -> Labels:
        """Find the labels of `int64[K]` under which faces lie that a cannot-link parts."""
        rows = np.flatnonzero(self.unit >= 0)
        holders: dict[tuple[int, int], int] = {}
        found: set[int] = set()
        for unit, label in zip(self.unit[rows].tolist(), labels[rows].tolist(), strict=True):
            for token in self.tokens[unit]:
                if holders.setdefault((token, label), unit) != unit:
                    found.add(label)
        return np.array(sorted(label for label in found if label >= 0), np.int64)

    def join(self, labels: Labels) -> Labels:
        """Join labels `int64[K]`, none below 0, that a must-link binds. -> their unions by number, `int64[K]`"""
        _, place = np.unique(labels, return_inverse=True)
        bound = np.flatnonzero(self.unit >= 0)
        groups = int(place.max(initial=-1)) + 1
        edges = np.stack([place[bound], groups + self.unit[bound]], axis=1)
        return _components(groups + len(self.tokens), edges)[place]


@dataclass(frozen=True)
class Links:
    """Links between `count` faces. Raises `ValueError` for ends that are no faces."""

    count: int
    must: Ids
    """`int64[M, 2]`, indices of faces."""
    cannot: Ids
    """`int64[C, 2]`."""

    def __post_init__(self) -> None:
        for pairs in (self.must, self.cannot):
            if (
                pairs.ndim != 2
                or pairs.shape[1] != 2
                or (len(pairs) and not 0 <= pairs.min() <= pairs.max() < self.count)
            ):
                raise ValueError("links must be pairs of indices of faces, int64[L, 2]")

    @cached_property
    def nobody(self) -> NDArray[np.bool_]:
        """Whether a face is said to be nobody's, `bool[count]`."""
        return _marked(self.count, self.cannot[self.cannot[:, 0] == self.cannot[:, 1]])

    @cached_property
    def claimed(self) -> NDArray[np.bool_]:
        """Whether a face is said to be somebody's, `bool[count]`."""
        return _marked(self.count, self.must)

    @property
    def _parting(self) -> Ids:
        return np.asarray(self.cannot[self.cannot[:, 0] != self.cannot[:, 1]], np.int64)

    def unite(self, stands: Ids) -> tuple[Ids, Ids]:
        """Unite faces that are bound by must-links, and prints `stands` (`int64[count]`: the face that stands for each)
        with them. -> the prints that may stay folded, the union of each face

        Prints are what looks like one photograph; what is said of them wins: where a cannot-link would be closed, they
        are unfolded. Raises `ValueError` where the links contradict each other.
        """
        everyone = np.arange(self.count)
        parting = self._parting
        union = _components(self.count, self.must, np.stack([everyone, stands], axis=1))
        closed = union[parting[:, 0]] == union[parting[:, 1]]
        if closed.any():
            stands = np.where(np.isin(union, union[parting[closed, 0]]), everyone, stands)
            union = _components(self.count, self.must, np.stack([everyone, stands], axis=1))
        if (union[parting[:, 0]] == union[parting[:, 1]]).any() or (self.nobody & self.claimed).any():
            raise ValueError("links contradict each other")
        return stands, union

    def bonds(self, union: Ids, faces: Ids) -> Bonds:
        """Describe what the links say of the faces `int64[K]`, given the union of each of all faces."""
        parting = union[self._parting]
        linked = np.unique(
            np.concatenate([union[self.must[self.must[:, 0] != self.must[:, 1]]].ravel(), parting.ravel()])
        )
        tokens: list[set[int]] = [set() for _ in linked]
        leaving: list[set[int]] = [set() for _ in linked]
        for token, (leaver, stayer) in enumerate(np.searchsorted(linked, parting).tolist()):
            tokens[leaver].add(-1 - token)
            tokens[stayer].add(-1 - token)
            leaving[leaver].add(-1 - token)
        place = np.searchsorted(linked, union[faces])
        is_bound = np.append(linked, -1)[place] == union[faces]
        unit = np.where(is_bound, place, -1)
        return Bonds(unit, [frozenset(of_unit) for of_unit in tokens], [frozenset(of_unit) for of_unit in leaving])


def no_links(count: int) -> Links:
    """Make the links of faces of which nothing was said."""
    return Links(count, np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64))


def find_chain(must: Iterable[tuple[Subject, Subject]], start: Subject, end: Subject) -> list[Subject] | None:
    """Find a shortest chain of must-links from one face to another, both included; None: there is none."""
    beside: dict[Subject, list[Subject]] = defaultdict(list)
    for one, other in must:
        beside[one].append(other)
        beside[other].append(one)
    before: dict[Subject, Subject] = {start: start}
    waiting = deque([start])
    while waiting and end not in before:
        here = waiting.popleft()
        for there in beside[here]:
            if there not in before:
                before[there] = here
                waiting.append(there)
    if end not in before:
        return None
    chain = [end]
    while chain[-1] != start:
        chain.append(before[chain[-1]])
    return chain[::-1]


def find_contradiction(
    must: Sequence[tuple[Subject, Subject]], cannot: Iterable[tuple[Subject, Subject]]
) -> list[Subject] | None:
    """Find a chain of must-links between two faces that a cannot-link parts; None: there is none.

    A face that is nobody's contradicts every must-link of its own: the chain is then the two faces, or the face alone.
    """
    partner = {end: pair for pair in must for end in pair}
    number = {end: index for index, end in enumerate(partner)}
    edges = np.array([(number[one], number[other]) for one, other in must], np.int64).reshape(-1, 2)
    union = _components(len(number), edges).tolist() if number else []
    for one, other in cannot:
        if one == other:
            if one in partner:
                return list(dict.fromkeys(partner[one]))
        elif one in number and other in number and union[number[one]] == union[number[other]]:
            return find_chain(must, one, other)
    return None


def _components(count: int, *pairs: Ids) -> Ids:
    from scipy.sparse import coo_array  # not above: a replica that starts need not load it
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate(pairs)
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _marked(count: int, pairs: Ids) -> NDArray[np.bool_]:
    marked = np.zeros(count, np.bool_)
    marked[pairs.ravel()] = True
    return marked
