"""Incremental clustering: faces added to a grouped album change only people near them, who keep their numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.clusters import ClusteringOptions, link_rows, number
from deployments.algorithms.people.holding import hold_links
from deployments.algorithms.people.label_matching import Labels, carry_labels
from deployments.algorithms.people.linkage import SLACK
from deployments.algorithms.people.links import Links
from deployments.algorithms.people.selection import Faces, place_claimed, select_faces
from deployments.contracts.albums import UNASSIGNED
from deployments.contracts.arrays import Vectors

BLOCK_PRODUCTS = 4_000_000
"""Inner products held at once (16 MB)."""


def add_faces(
    vectors: Vectors,
    pictures: NDArray[np.int64],
    quality: Vectors,
    previous: Labels,
    grouping: ClusteringOptions,
    links: Links | None = None,
) -> Labels:
    """Group all faces like `group_faces`, given the labels of an earlier call; faces with a negative label are new.

    The clusters near a new face are dissolved and linked again with it; every other cluster keeps its label. A changed
    cluster's label goes where most of its faces went (`carry_labels`).

    - Up to `grouping.exact_faces` usable faces, near means: connected to a new face by steps that linked groups must
      have between them, and by clusters. If `previous` is the grouping of the old faces, the result is the grouping of
      all faces.
    - Beyond, the `dissolved_clusters` nearest that have a face within the cut of a new one; those over `settled_faces`
      faces are not taken apart. The cost of a new face is a product with every old one and linking at most
      `dissolved_clusters * settled_faces` faces.

    A cluster of `previous` that holds two faces of one image, prints of one photograph and bound faces aside, is
    dissolved as well. `links` hold whatever `previous` is; with them the result need not be the grouping of all faces
    anew. Raises `ValueError` as `group_faces` does.
    """
    if len(previous) != len(vectors):
        raise ValueError("previous and vectors must be of one length")
    faces = select_faces(vectors, pictures, quality, grouping.min_quality, grouping.cut, links)
    labels = np.full(len(vectors), UNASSIGNED)
    if len(faces):
        old = np.maximum(previous[faces.kept], UNASSIGNED)
        labels[faces.usable] = _hold(faces, old, _add(faces, old, grouping), grouping)[faces.photograph]
    return place_claimed(labels, previous, faces)


def _add(faces: Faces, old: Labels, grouping: ClusteringOptions) -> Labels:
    known = np.flatnonzero(old >= 0)
    new_faces = (old < 0) | np.isin(old, faces.has_image_twice(known, old[known]))
    if not new_faces.any():
        return old
    whole: list[NDArray[np.int64]] = []
    if new_faces.all():
        loose = np.arange(len(faces))
    elif len(faces) <= grouping.exact_faces:
        loose = _connected(faces, old, new_faces, grouping)
    else:
        loose, whole = _near(faces, old, new_faces, grouping)
    rows, linked = link_rows(faces, loose, whole, grouping)
    labels = old.copy()
    labels[rows] = carry_labels(old[rows], number(linked), int(old.max()))
    return labels


def _hold(faces: Faces, old: Labels, labels: Labels, grouping: ClusteringOptions) -> Labels:
    """Change groups so that links hold; those that changed continue the old ones that most of their faces were of."""
    held = hold_links(faces, labels, grouping.cut)
    changed = np.concatenate([labels[held != labels], held[held != labels]])
    is_changed = np.isin(labels, changed) | np.isin(held, changed)
    if is_changed.any():
        before = np.where(np.isin(old, held[~is_changed]), UNASSIGNED, old)[is_changed]
        highest = int(max(old.max(), labels.max(), held.max()))
        held[is_changed] = carry_labels(before, held[is_changed], highest)
    return held


def _connected(
    faces: Faces, old: Labels, new_faces: NDArray[np.bool_], grouping: ClusteringOptions
) -> NDArray[np.int64]:
    """Find the rows connected to a new face by steps that two linked groups must have somewhere between them; whole
    clusters always."""
    floor = 1 - grouping.cut**2 / 2
    if grouping.group_cut is not None:
        # The mean vector of a group within the cut is at least sqrt(floor) long, and so are two: their faces' mean
        # product is the product of their directions times at least the floor.
        floor = min(floor, floor * (1 - grouping.group_cut**2 / 2))
    floor -= SLACK
    everything = faces[np.arange(len(faces))]
    inside = new_faces.copy()
    border = np.flatnonzero(inside)
    while len(border):
        near = ~inside & ((everything @ everything[border].T).max(axis=1) >= floor)
        border = np.flatnonzero(~inside & np.isin(old, old[near]))
        inside[border] = True
    return np.flatnonzero(inside)


def _near(
    faces: Faces, old: Labels, new_faces: NDArray[np.bool_], grouping: ClusteringOptions
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Select rows to link one by one, and the rows of clusters that take part undivided."""
    fresh, kept = np.flatnonzero(new_faces), np.flatnonzero(~new_faces)
    if not len(kept):
        return fresh, []
    _, cluster_of, size = np.unique(old[kept], return_inverse=True, return_counts=True)
    by_cluster, start = np.argsort(cluster_of, kind="stable"), np.cumsum(size) - size
    divided, undivided = np.zeros(len(size), bool), np.zeros(len(size), bool)
    held = faces[kept]
    for first in range(0, len(fresh), rows_at_once := max(1, BLOCK_PRODUCTS // len(kept))):
        products = faces[fresh[first : first + rows_at_once]] @ held.T
        face, row = np.divmod(np.flatnonzero(products >= 1 - grouping.cut**2 / 2), len(kept))
        face, cluster = np.divmod(np.unique(face * len(size) + cluster_of[row]), len(size))
        # These clusters have a face within the cut; now the mean product with all their faces.
        many = size[cluster]
        pair = np.repeat(np.arange(len(cluster)), many)
        member = by_cluster[np.arange(len(pair)) + (start[cluster] + many - np.cumsum(many))[pair]]
        mean = np.bincount(pair, products[face[pair], member], minlength=len(cluster)) / many
        order = np.lexsort((cluster, -mean, face))
        order = order[mean[order] >= 1 - (grouping.cut * (1 + grouping.reach)) ** 2 / 2]
        place = np.arange(len(order)) - np.searchsorted(face[order], face[order])
        undivided[cluster[order]] = True
        divided[cluster[order[place < grouping.dissolved_clusters]]] = True
    divided &= size <= grouping.settled_faces
    whole = [kept[by_cluster[start[at] : start[at] + size[at]]] for at in np.flatnonzero(undivided & ~divided)]
    return np.concatenate([fresh, kept[divided[cluster_of]]]), whole
