"""Links held by groups that linkage made without them, with as little change as they need.

Who is bound comes together as whole groups, and who is parted leaves: to begin a linkage with bound faces as one group
instead, which is the textbook's way, tears a person's best face out of the person when somebody binds a blurred one to
it, and keeping parted faces apart while linking lets each draw some of the others to its side.

- In a group that holds what must not be one person, one of them leaves after the other: first who is bound to faces of
  another group, then who is at odds with most, of fewest faces, farthest from the group.
- Groups that must-links bind become one. Where that would hold what must not be one person, the same is done.
- Whoever left joins the nearest group within the cut that it is not at odds with, or is somebody else.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.label_matching import Labels
from deployments.algorithms.people.links import Bonds
from deployments.algorithms.people.selection import Faces

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
class _Holding:
    faces: Faces
    bonds: Bonds
    labels: Labels

    def __post_init__(self) -> None:
        self._left: list[int] = []
        """Labels of those who left a group."""

    def part(self) -> None:
        """Let leave whom a link parts from others of its group."""
        for label in np.union1d(self.bonds.closed(self.labels), self._with_an_image_twice()).tolist():
            while (victim := self._victim(np.flatnonzero(self.labels == label))) is not None:
                self._leave(victim)

    def unite(self) -> None:
        """Unite groups that must-links bind."""
        while True:
            union = self.bonds.join(self.labels)
            _, first = np.unique(self.labels, return_index=True)
            several = np.flatnonzero(np.bincount(union[first]) > 1).tolist()
            victims = [self._victim(np.flatnonzero(union == one)) for one in several]
            for victim in victims:
                if victim is not None:
                    self._leave(victim)
            if all(victim is None for victim in victims):
                for one in several:
                    self.labels[union == one] = self.labels[union == one].min()
                return

    def settle(self, cut: float) -> None:
        """Let those who left join the nearest group that they are not at odds with."""
        for label in self._left:
            rows = np.flatnonzero(self.labels == label)
            others = np.flatnonzero(self.labels != label)
            if not len(rows) or not len(others):
                continue
            named, group, size = np.unique(self.labels[others], return_inverse=True, return_counts=True)
            likeness = np.bincount(group, self.faces[others] @ self._mean(rows), minlength=len(named)) / size
            for place in np.argsort(-likeness, kind="stable").tolist():
                if likeness[place] < 1 - cut**2 / 2:
                    break
                together = np.concatenate([rows, others[group == place]])
                if self._victim(together) is None:
                    self.labels[rows] = named[place]
                    break

    def _with_an_image_twice(self) -> Labels:
        return self.faces.has_image_twice(np.arange(len(self.labels)), self.labels)

    def _leave(self, rows: Rows) -> None:
        self.labels[rows] = label = int(self.labels.max()) + 1
        self._left.append(label)

    def _mean(self, rows: Rows) -> NDArray[np.float32]:
        return np.asarray(self.faces[rows].mean(axis=0, dtype=np.float64), np.float32)

    def _victim(self, rows: Rows) -> Rows | None:
        """Choose who leaves the group of `rows`; None: nobody has to."""
        members: dict[Item, list[int]] = defaultdict(list)
        at_odds = self._odds(rows, members)
        if not at_odds:
            return None
        mean = self._mean(rows)
        inside = set(rows.tolist())

        def rank(item: Item) -> tuple[object, ...]:
            own = np.array(members[item])
            unit = np.flatnonzero(self.bonds.unit == item[1]).tolist() if item[0] == 0 else []
            middle = self._mean(own)
            stays = inside.issuperset(unit)
            return stays, -len(at_odds[item]), len(own), float(middle @ mean), middle.tobytes()

        return np.array(members[min(at_odds, key=rank)])

    def _odds(self, rows: Rows, members: dict[Item, list[int]]) -> dict[Item, set[Item]]:
        """Find who of a group is at odds with whom, and fill in the rows of each."""
        holders: dict[int, set[Item]] = defaultdict(set)
        for row, unit, image in zip(
            rows.tolist(), self.bonds.unit[rows].tolist(), self.faces.pictures[rows].tolist(), strict=True
        ):
            item = (0, unit) if unit >= 0 else (1, row)
            members[item].append(row)
            holders[image].add(item)
            for token in self.bonds.tokens[unit] if unit >= 0 else ():
                holders[token].add(item)
        found: dict[Item, set[Item]] = defaultdict(set)
        for together in holders.values():
            if len(together) > 1:
                for item in together:
                    found[item] |= together - {item}
        return found
