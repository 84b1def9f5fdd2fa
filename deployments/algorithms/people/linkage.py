"""Average linkage of unit vectors with cannot-links, by mean squared distance, in nearly linear time.

The mean squared distance of two clusters of unit vectors needs no pairs: with m(X) the mean vector of X,
mean |a - b|^2 = 2 - 2 m(A).m(B). So the closest cluster is the one whose mean has the largest inner product, and a
nearest-neighbour search over mean vectors serves linkage at every stage. On the development images this criterion
groups exactly as the mean distance does, at a cut higher by the spread of the distances (.385 for .38).

Merging two clusters never brings them closer to a third than the closer of the two was (the criterion is reducible;
an infinite distance keeps that true), so any two clusters that are each other's nearest may merge at once, and the
result is the one that merging the closest pair first gives (reciprocal agglomerative clustering: Sumengen et al. 2021,
arXiv:2105.11653). The neighbours that a search listed serve for many merges: what it did not list is at most as
similar as the last listed, and the weighted mean of the parts' bounds bounds a merged cluster's. A cluster is searched
for anew only when its best listed neighbour falls under that bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.neighbours import Forest, Ids, nearest
from deployments.contracts.arrays import Vectors

CONFIRMATIONS = 2
"""Searches by other trees after the last merge, where not all pairs are compared; a third found 1 merge in 7,000."""
MOST_LISTED = 4_000_000
"""Neighbours that all lists of one search may hold (64 MB with what is derived from them)."""
SLACK = 1e-6
"""Inner products of float32 vectors closer than this count as equal."""
FOREST_SLACK = 5e-3
"""`SLACK` where not all pairs are compared: a third less searching for .0003 of BCubed F at 100,000 faces."""
PAIR_BLOCK = 4096
"""Pairs whose vectors are gathered at once: 4 MB stay in the cache, sixteen times as many cost a tenth of all time."""


@dataclass(frozen=True, slots=True)
class Linked:
    """Result of linkage. `cluster` `int64[N]`: the lowest atom of the cluster that each atom ended in."""

    cluster: Ids
    searches: int
    """Passes of the neighbour search, each over the clusters that needed it."""


def link(
    means: Vectors,
    counts: Ids,
    pictures: Sequence[AbstractSet[int]],
    cut: float,
    forest: Forest,
) -> Linked:
    """Merge atoms (single faces, or clusters already formed) while the closest two are at most `cut` apart.

    `means` `float32[N, D]`: the mean of an atom's unit vectors; `counts` `int64[N]`: how many; `pictures`: those that
    its faces come from. Distance: root of the mean squared distance of the faces, infinite if the two share an image.
    Exact, up to ties, while N is at most `forest.exhaustive_points`; ties go to the lower atoms. Atoms are read in
    their order, which the caller makes canonical.
    """
    state = _Linkage(means, counts, pictures, 1 - cut**2 / 2, forest)
    state.run()
    return Linked(state.clusters(), state.searches)


class _Linkage:
    """State of a linkage: clusters, named by their lowest atom, and their listed neighbours.

    A pair is a listed one with a similarity at or over the floor, `left < right`; a slot of -inf is empty.
    """

    def __init__(
        self, means: Vectors, counts: Ids, pictures: Sequence[AbstractSet[int]], floor: float, forest: Forest
    ) -> None:
        size = len(means)
        self.searches = 0
        self._means = np.array(means, np.float32, order="C")
        self._counts = np.array(counts, np.int64)
        self._pictures = [set(held) for held in pictures]
        self._floor = floor
        self._forest = forest
        self._exact = size <= forest.exhaustive_points
        self._slack = SLACK if self._exact else FOREST_SLACK
        self._parent = np.arange(size)
        self._bound = np.ones(size)
        """No unlisted cluster is more similar than this; at the floor, all that matter are listed."""
        self._left = self._right = np.zeros(0, np.int64)
        self._similarity = np.zeros(0, np.float32)
        self._best = np.full(size, -np.inf, np.float32)
        self._partner = np.full(size, -1)
        """The best listed neighbour, ties to the lower, and its similarity; -1 and -inf: none."""
        self._stale = np.zeros(size, bool)
        """Clusters whose pairs have changed since these two were taken."""

    def run(self) -> None:
        """Search and merge until no two clusters are within the cut."""
        confirmations = 0 if self._exact else CONFIRMATIONS
        listed = self._forest.listed
        while True:
            waiting = self._waiting()
            if not len(waiting):
                if not confirmations:
                    return
                confirmations -= 1
                waiting = self._alive()
            most = max(self._forest.listed, MOST_LISTED // len(waiting))
            self._search(waiting, min(listed, most))
            if self._merge_all():
                listed = self._forest.listed
            elif listed >= min(most, len(self._means)):
                # As many as can be listed share an image with the cluster that asks: leave it.
                self._bound[waiting] = self._floor
            else:
                listed *= 2

    def clusters(self) -> Ids:
        """Name the cluster that each atom ended in by its lowest atom, `int64[N]`."""
        parent = self._parent
        while not np.array_equal(above := parent[parent], parent):
            parent = above
        return parent

    def _alive(self) -> Ids:
        return np.flatnonzero(self._parent == np.arange(len(self._parent)))

    def _certain(self, clusters: Ids) -> NDArray[np.bool_]:
        """Tell whose best listed neighbour is the nearest there is (or which has none within the cut)."""
        bound = self._bound[clusters]
        return (bound <= self._floor + self._slack) | (self._best[clusters] >= bound - self._slack)

    def _waiting(self) -> Ids:
        alive = self._alive()
        return alive[~self._certain(alive)]

    def _search(self, clusters: Ids, count: int) -> None:
        alive = self._alive()
        rows = np.searchsorted(alive, clusters)
        found = nearest(self._means[alive], rows, count, self._floor, self._forest, self.searches)
        self.searches += 1
        last = found.similarity[:, -1]
        self._bound[clusters] = np.where(np.isfinite(last), last, self._floor)
        listed = found.ids >= 0
        here, other = clusters[np.nonzero(listed)[0]], alive[found.ids[listed]]
        known = np.isfinite(self._similarity)
        keys = self._keys(np.append(self._left[known], here), np.append(self._right[known], other))
        key, first = np.unique(keys, return_index=True)
        self._left, self._right = np.divmod(key, len(self._parent))
        self._similarity = np.append(self._similarity[known], found.similarity[listed])[first]
        self._stale[alive] = True

    def _keys(self, left: Ids, right: Ids) -> Ids:
        """Number each different pair, whichever end comes first."""
        return np.minimum(left, right) * len(self._parent) + np.maximum(left, right)

    def _merge_all(self) -> int:
        """Merge until no two clusters are certainly each other's nearest; returns the number of merges."""
        merged = 0
        while True:
            left, right = self._mutual()
            if not len(left):
                return merged
            held = self._pictures
            apart = np.array(
                [not held[a].isdisjoint(held[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
            )
            if apart.any():
                self._forget(left[apart], right[apart])
            if not apart.all():
                self._merge(left[~apart], right[~apart])
            merged += int(np.count_nonzero(~apart))

    def _mutual(self) -> tuple[Ids, Ids]:
        """Find the pairs that have become certainly each other's nearest since the last call."""
        stale = np.flatnonzero(self._stale)
        self._refresh(stale)
        partner = self._partner[stale]
        mutual = (partner >= 0) & (self._partner[partner] == stale)
        one, two = stale[mutual], partner[mutual]
        certain = self._certain(one) & self._certain(two)
        left, right = np.divmod(_sort_once(self._keys(one[certain], two[certain])), len(self._parent))
        return left, right

    def _refresh(self, stale: Ids) -> None:
        """Take the best neighbours of stale clusters anew."""
        self._best[stale] = -np.inf
        self._partner[stale] = len(self._parent)
        near = np.flatnonzero(self._stale[self._left] | self._stale[self._right])
        similarity = self._similarity[near]
        ends = self._left[near], self._right[near]
        for one in ends:
            np.maximum.at(self._best, one, similarity)
        for one, two in (ends, ends[::-1]):
            top = similarity == self._best[one]
            np.minimum.at(self._partner, one[top], two[top])
        self._partner[stale[np.isneginf(self._best[stale])]] = -1
        self._stale[:] = False

    def _forget(self, left: Ids, right: Ids) -> None:
        gone = np.isin(self._left * len(self._parent) + self._right, left * len(self._parent) + right)
        self._similarity[gone] = -np.inf
        self._stale[left] = self._stale[right] = True

    def _merge(self, left: Ids, right: Ids) -> None:
        total = self._counts[left] + self._counts[right]
        share = self._counts[left] / total
        weight = share.astype(np.float32)[:, None]
        self._means[left] = weight * self._means[left] + (1 - weight) * self._means[right]
        self._bound[left] = share * self._bound[left] + (1 - share) * self._bound[right]
        self._counts[left] = total
        self._parent[right] = left
        for into, gone in zip(left.tolist(), right.tolist(), strict=True):
            small, large = sorted((self._pictures[into], self._pictures[gone]), key=len)
            large |= small
            self._pictures[into], self._pictures[gone] = large, set()
        self._relist(left, right)

    def _relist(self, left: Ids, right: Ids) -> None:
        """Rename merged clusters in their pairs to what these became, once, and measure these anew."""
        name = np.arange(len(self._parent))
        name[right] = left
        changed = np.zeros(len(name), bool)
        changed[left] = changed[right] = True
        slots = np.flatnonzero(changed[self._left] | changed[self._right])
        slots = slots[np.isfinite(self._similarity[slots])]
        one, two = name[self._left[slots]], name[self._right[slots]]
        self._similarity[slots] = -np.inf
        self._stale[one] = self._stale[two] = True
        self._stale[left] = True
        one, two = np.divmod(_sort_once(self._keys(one[one != two], two[one != two])), len(name))
        similarity = self._measure(one, two)
        near = similarity >= self._floor
        slots = slots[: np.count_nonzero(near)]
        self._left[slots], self._right[slots], self._similarity[slots] = one[near], two[near], similarity[near]
        empty = np.isneginf(self._similarity)
        if np.count_nonzero(empty) * 4 > len(empty):
            self._left, self._right = self._left[~empty], self._right[~empty]
            self._similarity = self._similarity[~empty]

    def _measure(self, left: Ids, right: Ids) -> Vectors:
        similarity = np.empty(len(left), np.float32)
        for start in range(0, len(left), PAIR_BLOCK):
            block = slice(start, start + PAIR_BLOCK)
            similarity[block] = np.einsum("nd,nd->n", self._means[left[block]], self._means[right[block]])
        return similarity


def _sort_once(keys: Ids) -> Ids:
    """Sort keys and drop repeats. numpy's own `unique` hashes them, at 300,000 a hundred times slower than sorting."""
    keys = np.sort(keys)
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    return keys[first]
