"""Links held by groups that linkage made without them, with as little change as they need.

Who is bound comes together as whole groups, and who is parted leaves: to begin a linkage with bound faces as one group
instead, which is the textbook's way, tears a person's best face out of the person when somebody binds a blurred one to
it, and keeping parted faces apart while linking lets each draw some of the others to its side.

- In a group that holds what must not be one person, one of them leaves after the other, with all that is bound to it:
  first who the user moved out, then who is bound to faces of another group, then who is at odds with most, of fewest
  faces, farthest from the group.
- Groups that must-links bind become one. Where that would hold what must not be one person, the same is done.
- Whoever left joins the nearest group well within the cut that it is not at odds with, or is somebody else.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.label_matching import Labels
from deployments.algorithms.people.links import Bonds
from deployments.algorithms.people.selection import Faces

SETTLING = 0.9
"""Of the cut: how near a group has to be for somebody who was moved out of another. A face that was taken for the wrong
person once is easily so again; with 1.0 one right answer in sixty made things worse (`bench.quality.answers`)."""
BLOCK_ROWS = 4096
"""Faces whose vectors are taken out at once."""
Rows = NDArray[np.int64]
Item = tuple[int, int]
"""(0, unit) of bound faces, (1, row) of one that is by itself."""


def hold_links(faces: Faces, labels: Labels, cut: float) -> Labels:
    """Change groups `int64[K]`, none below 0, so that links hold. `cut`: distance up to which a face joins a group."""
    if faces.bonds is None:
        return labels
    holding = _Holding(faces, faces.bonds, labels.copy())
    holding.part()
    holding.unite()
    holding.settle(cut)
    return holding.labels


@dataclass
class _Odds:
    """Who of a group is at odds with whom."""

    rows: dict[Item, list[int]]
    """Rows of everybody in the group."""
    others: dict[Item, set[Item]]
    """Of those who are at odds with anybody: with whom."""
    stayers: dict[Item, set[Item]]
    """Of those whom the user moved out: away from whom."""

    def drop(self, leaver: Item) -> None:
        for other in self.others.pop(leaver):
            self.others[other].discard(leaver)
            if not self.others[other]:
                del self.others[other]
        for left in (self.stayers.pop(leaver, None), *self.stayers.values()):
            if left:
                left.discard(leaver)


class _Holding:
    def __init__(self, faces: Faces, bonds: Bonds, labels: Labels) -> None:
        self.labels = labels
        self._faces = faces
        self._bonds = bonds
        self._unit_sizes = np.bincount(bonds.unit[bonds.unit >= 0], minlength=len(bonds.tokens))
        self._next = int(labels.max(initial=-1)) + 1
        self._left: list[Rows] = []
        """Rows of those who left a group."""

    def part(self) -> None:
        """Let leave whom a link parts from others of its group."""
        for label in np.union1d(self._bonds.closed(self.labels), self._with_an_image_twice()).tolist():
            self._leave(self._leavers(np.flatnonzero(self.labels == label)))

    def unite(self) -> None:
        """Unite groups that must-links bind."""
        while True:
            union = self._bonds.join(self.labels)
            _, first = np.unique(self.labels, return_index=True)
            several = np.flatnonzero(np.bincount(union[first]) > 1).tolist()
            leavers = [leaver for one in several for leaver in self._leavers(np.flatnonzero(union == one))]
            self._leave(leavers)
            if not leavers:
                for one in several:
                    self.labels[union == one] = self.labels[union == one].min()
                return

    def settle(self, cut: float) -> None:
        """Let those who left join the nearest group, at most `SETTLING` of the cut away, that they are not at odds
        with."""
        if not self._left:
            return
        named, group, sizes = np.unique(self.labels, return_inverse=True, return_counts=True)
        sums = self._sums(group, len(named))
        for rows in self._left:
            own = int(group[rows[0]])
            if sizes[own] != len(rows):
                continue  # bound to others meanwhile
            likeness = sums @ (sums[own] / len(rows)) / np.maximum(sizes, 1)
            likeness[(sizes == 0) | (np.arange(len(sizes)) == own)] = -np.inf
            for place in np.argsort(-likeness, kind="stable").tolist():
                if likeness[place] < 1 - (SETTLING * cut) ** 2 / 2:
                    break
                if not self._find_odds(np.concatenate([rows, np.flatnonzero(group == place)])).others:
                    self.labels[rows], group[rows] = named[place], place
                    sums[place] += sums[own]
                    sizes[place] += len(rows)
                    sizes[own] = 0
                    break

    def _sums(self, group: Rows, count: int) -> NDArray[np.float64]:
        """Add up the vectors of each group, `float64[count, D]`."""
        from scipy.sparse import coo_array  # not above: a replica that starts need not load it

        sums = np.zeros((count, self._faces[group[:0]].shape[1]))
        for start in range(0, len(group), BLOCK_ROWS):
            rows = np.arange(start, min(start + BLOCK_ROWS, len(group)))
            ones = np.ones(len(rows), np.float32)
            sums += coo_array((ones, (group[rows], rows - start)), (count, len(rows))) @ self._faces[rows]
        return sums

    def _with_an_image_twice(self) -> Labels:
        return self._faces.has_image_twice(np.arange(len(self.labels)), self.labels)

    def _leave(self, leavers: list[Rows]) -> None:
        for rows in leavers:
            self.labels[rows] = self._next
            self._next += 1
            self._left.append(rows)

    def _mean(self, rows: Rows | list[int]) -> NDArray[np.float32]:
        return np.asarray(self._faces[np.asarray(rows)].mean(axis=0, dtype=np.float64), np.float32)

    def _leavers(self, rows: Rows) -> list[Rows]:
        """Choose who leaves the group of `rows`, one after the other until nobody is at odds."""
        odds = self._find_odds(rows)
        if not odds.others:
            return []
        mean = self._mean(rows)
        fixed: dict[Item, tuple[object, ...]] = {}
        for item in odds.others:
            own, middle = odds.rows[item], self._mean(odds.rows[item])
            is_whole = item[0] == 1 or len(own) == self._unit_sizes[item[1]]
            fixed[item] = is_whole, len(own), float(middle @ mean), middle.tobytes()

        def rank(item: Item) -> tuple[object, ...]:
            is_whole, *rest = fixed[item]
            return not odds.stayers.get(item), is_whole, -len(odds.others[item]), *rest

        found = []
        while odds.others:
            leaver = min(odds.others, key=rank)
            found.append(np.array(odds.rows[leaver]))
            odds.drop(leaver)
        return found

    def _find_odds(self, rows: Rows) -> _Odds:
        found = _Odds(defaultdict(list), defaultdict(set), defaultdict(set))
        holders: dict[int, set[Item]] = defaultdict(set)
        for row, unit, image in zip(
            rows.tolist(), self._bonds.unit[rows].tolist(), self._faces.pictures[rows].tolist(), strict=True
        ):
            item = (0, unit) if unit >= 0 else (1, row)
            found.rows[item].append(row)
            holders[image].add(item)
            for token in self._bonds.tokens[unit] if unit >= 0 else ():
                holders[token].add(item)
        for token, together in holders.items():
            if len(together) > 1:
                for item in together:
                    found.others[item] |= together - {item}
                    if token < 0 and token in self._bonds.leaving[item[1]]:
                        found.stayers[item] |= together - {item}
        return found
