"""Faces added to an album that is already grouped: only people near them change, and keep their numbers."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.face_clusters import (
    NOBODY,
    Grouping,
    Labels,
    Vectors,
    find_usable,
    group_faces,
    make_atoms,
    unit,
)
from deployments.algorithms.linkage import SLACK, link

BLOCK_PRODUCTS = 4_000_000
"""Inner products held at once (16 MB)."""


def add_faces(
    vectors: Vectors, pictures: NDArray[np.int64], quality: Vectors, previous: Labels, grouping: Grouping
) -> Labels:
    """Like `group_faces` on all faces, given the labels of an earlier call; faces with a negative label are new.

    The clusters near a new face are dissolved and linked again with it; every other cluster keeps its label. A changed
    cluster's label goes where most of its faces went (`carry_labels`).

    - Up to `grouping.exact_faces` usable faces, near means: connected to a new face by steps within the cut and by
      clusters. If `previous` is the grouping of the old faces, the result is the grouping of all faces.
    - Beyond, the `dissolved_clusters` nearest that have a face within the cut of a new one; those over `settled_faces`
      faces are not taken apart. The cost of a new face is a product with every old one and linking at most
      `dissolved_clusters * settled_faces` faces.

    A cluster of `previous` that holds two faces of one picture is dissolved as well.
    """
    if len(previous) != len(vectors):
        raise ValueError("previous and vectors must be of one length")
    usable = find_usable(vectors, pictures, quality, grouping.min_quality)
    old = np.maximum(previous[usable], NOBODY)
    if not np.any(old > NOBODY):
        return group_faces(vectors, pictures, quality, grouping)
    faces, held = unit(vectors[usable]), pictures[usable]
    labels = np.full(len(vectors), NOBODY)
    labels[usable] = _add(faces, held, old, grouping)
    return labels


def carry_labels(old: Labels, new: Labels) -> Labels:
    """The partition `new` with the labels of `old`, both `int64[N]`; negative labels: in no cluster.

    The largest overlaps are served first: a new cluster takes the label of the old one that it shares most faces with,
    unless another shares more, or as many and comes first in `new`. Clusters without an old label get numbers above
    the highest of `old`, in their order in `new`. So an unchanged cluster keeps its label, and clusters that
    unite keep the label of the largest part.
    """
    before, old_at = np.unique(old, return_inverse=True)
    after, new_at = np.unique(new, return_inverse=True)
    both = (old >= 0) & (new >= 0)
    pairs, shared = np.unique(new_at[both] * len(before) + old_at[both], return_counts=True)
    carried: dict[int, int] = {}
    taken: set[int] = set()
    for pair in pairs[np.argsort(-shared, kind="stable")].tolist():
        cluster, label = divmod(pair, len(before))
        if label not in taken and cluster not in carried:
            carried[cluster] = int(before[label])
            taken.add(label)
    following = itertools.count(max(int(before.max(initial=NOBODY)), NOBODY) + 1)
    names = [
        NOBODY if cluster < 0 else carried[place] if place in carried else next(following)
        for place, cluster in enumerate(after.tolist())
    ]
    return np.array(names, np.int64)[new_at]


def _add(faces: Vectors, pictures: NDArray[np.int64], old: Labels, grouping: Grouping) -> Labels:
    new_faces = (old < 0) | np.isin(old, _labels_with_a_picture_twice(pictures, old))
    if not new_faces.any():
        return old
    if len(faces) <= grouping.exact_faces:
        loose, whole = _connected(faces, old, new_faces, grouping), []
    else:
        loose, whole = _near(faces, old, new_faces, grouping)
    atoms = make_atoms(faces[loose], pictures[loose])
    means = [faces[members].mean(axis=0, dtype=np.float64) for members in whole]
    linked = link(
        np.concatenate([atoms.means, np.array(means, np.float32).reshape(-1, faces.shape[1])]),
        np.concatenate([atoms.counts, np.array([len(members) for members in whole], np.int64)]),
        atoms.pictures + [set(pictures[members].tolist()) for members in whole],
        grouping.cut,
        grouping.forest,
    )
    clusters = linked.cluster + old.max(initial=NOBODY) + 1
    new = old.copy()
    new[loose] = clusters[atoms.atom_of]
    for members, cluster in zip(whole, clusters[len(atoms.counts) :], strict=True):
        new[members] = cluster
    return carry_labels(old, new)


def _labels_with_a_picture_twice(pictures: NDArray[np.int64], old: Labels) -> Labels:
    rows = np.flatnonzero(old >= 0)
    rows = rows[np.lexsort((pictures[rows], old[rows]))]
    again = (old[rows][1:] == old[rows][:-1]) & (pictures[rows][1:] == pictures[rows][:-1])
    return np.unique(old[rows][1:][again])


def _connected(faces: Vectors, old: Labels, new_faces: NDArray[np.bool_], grouping: Grouping) -> NDArray[np.int64]:
    """Rows connected to a new face by steps within the cut, whole clusters always."""
    floor = 1 - grouping.cut**2 / 2 - SLACK
    inside = new_faces.copy()
    border = np.flatnonzero(inside)
    while len(border):
        near = ~inside & ((faces @ faces[border].T).max(axis=1) >= floor)
        border = np.flatnonzero(~inside & np.isin(old, old[near]))
        inside[border] = True
    return np.flatnonzero(inside)


def _near(
    faces: Vectors, old: Labels, new_faces: NDArray[np.bool_], grouping: Grouping
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Rows to link one by one, and clusters (their rows) that take part undivided, in canonical order."""
    fresh = np.flatnonzero(new_faces)
    kept = np.flatnonzero(~new_faces)
    kept = kept[np.argsort(old[kept], kind="stable")]
    if not len(kept):
        return fresh, []
    start = np.flatnonzero(np.diff(old[kept], prepend=NOBODY))
    size = np.diff(start, append=len(kept))
    divided, undivided = np.zeros(len(start), bool), np.zeros(len(start), bool)
    held = faces[kept]
    for first in range(0, len(fresh), block := max(1, BLOCK_PRODUCTS // len(kept))):
        products = held @ faces[fresh[first : first + block]].T
        closest = np.maximum.reduceat(products, start)
        mean = np.add.reduceat(products, start, dtype=np.float64) / size[:, None]
        mean[closest < 1 - grouping.cut**2 / 2] = -np.inf
        mean[mean < 1 - (grouping.cut + grouping.reach) ** 2 / 2] = -np.inf
        near = np.isfinite(mean).any(axis=1)
        last = np.sort(mean, axis=0)[-min(grouping.dissolved_clusters, len(mean))]
        nearest = ((mean >= last) & np.isfinite(mean)).any(axis=1) & (size <= grouping.settled_faces)
        divided |= nearest
        undivided |= near
    undivided &= ~divided
    whole = [kept[start[i] : start[i] + size[i]] for i in np.flatnonzero(undivided)]
    # Members of a cluster have no canonical order of their own; the exact sum in float64 has.
    whole.sort(key=lambda members: faces[members].sum(axis=0, dtype=np.float64).tobytes())
    return np.concatenate([fresh, kept[np.repeat(divided, size)]]), whole
