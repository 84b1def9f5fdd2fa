"""Labels of an earlier grouping matched to the clusters of a new one, so that a person stays the same person."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.albums import UNASSIGNED, UNKNOWN

Labels = NDArray[np.int64]


def carry_labels(old: Labels, new: Labels, highest: int = UNASSIGNED) -> Labels:
    """Relabel the partition `new` with the labels of `old`, both `int64[N]`; negative labels are in no cluster.

    The largest overlaps are served first: a new cluster takes the label of the old one that it shares most faces with,
    unless another shares more. Ties go to the smaller old label, then to the smaller number in `new`. Clusters without
    an old label get numbers above the highest of `old` and `highest`, in their order in `new`. So an unchanged cluster
    keeps its label, and clusters that unite keep the label of the largest part.
    """
    before, old_at = np.unique(old, return_inverse=True)
    after, new_at = np.unique(new, return_inverse=True)
    both = (old >= 0) & (new >= 0)
    pairs, shared = np.unique(old_at[both] * len(after) + new_at[both], return_counts=True)
    carried: dict[int, int] = {}
    taken: set[int] = set()
    for pair in pairs[np.argsort(-shared, kind="stable")].tolist():
        label, cluster = divmod(pair, len(after))
        if label not in taken and cluster not in carried:
            carried[cluster] = int(before[label])
            taken.add(label)
    following = itertools.count(max(int(before.max(initial=UNASSIGNED)), highest) + 1)
    names = [
        UNASSIGNED if cluster < 0 else carried[place] if place in carried else next(following)
        for place, cluster in enumerate(after.tolist())
    ]
    return np.array(names, np.int64)[new_at]


def continue_labels(old: Labels, new: Labels, highest: int = UNASSIGNED) -> Labels:
    """Relabel the partition `new` with the labels of `old` like `carry_labels`, its clusters numbered by their first
    face: `int64[N]` of labels that do not depend on how the clusterer numbers.

    Only clusters that differ are matched. One that holds the same faces under the same number in both keeps it, for no
    other shares a face with it; when few faces are added to many, that is nearly all of them.
    """
    old, new = np.maximum(old, UNASSIGNED), np.maximum(new, UNASSIGNED)
    moved = old != new
    touched = np.unique(np.concatenate([old[moved], new[moved]]))
    touched = touched[touched > UNASSIGNED]
    rows = np.isin(old, touched) | np.isin(new, touched)
    labels = new.copy()
    highest = max(int(old.max(initial=UNASSIGNED)), highest)
    labels[rows] = carry_labels(old[rows], number_by_first_face(new[rows]), highest)
    return labels


def settle_labels(labels: Labels, held: Labels, decided: Sequence[tuple[int, Labels]], highest: int) -> Labels:
    """Let people of whom a user said something go where most of their faces are, by label: `int64[N]`

    `labels`: of the new grouping; `held`: of the one before, or negative; `decided`: labels of these people, the latest
    last, each with the places of the faces that it was said of, its anchors. An anchor votes where it was the person's
    own or nobody's: one that has come to somebody else says nothing any more. So does each face that the person held.
    The person with the most votes in a cluster is that one, the latest of several. Who gets no cluster has none; a
    cluster that loses its label has that of the one which took it, or a new one above `highest`.
    """
    anchors: dict[int, list[Labels]] = {}
    for label, places in decided:
        anchors[label] = [*anchors.pop(label, []), places]  # who was spoken of last is last
    order = np.argsort(held, kind="stable")
    in_order = held[order]
    votes: list[tuple[int, int, int, int]] = []
    for rank, (label, given) in enumerate(anchors.items()):
        said = np.unique(np.concatenate(given))
        said = said[np.isin(held[said], (label, UNKNOWN, UNASSIGNED))]
        own = order[slice(*np.searchsorted(in_order, (label, label + 1)))]
        voted = labels[np.concatenate([said, own])]
        found, counts = np.unique(voted[voted >= 0], return_counts=True)
        if len(found):
            best = np.lexsort((found != label, -counts))[0]
            votes.append((-int(counts[best]), -rank, label, int(found[best])))
    taken: dict[int, int] = {}
    for _, _, label, cluster in sorted(votes):
        if cluster not in taken:
            taken[cluster] = label
    return _give(labels, taken, set(anchors), highest)


def _give(labels: Labels, taken: dict[int, int], decided: set[int], highest: int) -> Labels:
    """Give clusters, named by their labels, the labels `taken`; who had one of those gets that of who took it, or a new
    one where that is of a person in `decided`."""
    cluster_of = {label: cluster for cluster, label in taken.items()}
    following = itertools.count(max(int(labels.max(initial=UNASSIGNED)), highest) + 1)
    given = dict(taken)
    for cluster in set(cluster_of) - set(taken):
        label = cluster
        while label in cluster_of:
            label = cluster_of[label]
        given[cluster] = next(following) if label in decided else label
    found, place = np.unique(labels, return_inverse=True)
    return np.array([given.get(label, label) for label in found.tolist()], np.int64)[place]


def number_by_first_face(clusters: Labels) -> Labels:
    """Number the clusters `int64[N]` from 0 by their first face; negative labels become `UNASSIGNED`.

    However a clusterer numbers its clusters, equal partitions of the same faces come out equal.
    """
    found, first, place = np.unique(clusters, return_index=True, return_inverse=True)
    numbers = np.empty(len(found), np.int64)
    ordered = np.argsort(first, kind="stable")
    ordered = ordered[found[ordered] >= 0]
    numbers[:] = UNASSIGNED
    numbers[ordered] = np.arange(len(ordered))
    return numbers[place]
