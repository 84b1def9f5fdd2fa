"""Face clustering: the faces of an album into people, independent of the order in which they come.

Average linkage (see `linkage`) over canonically sorted faces, and over the groups that it made.
Faces that the gate refuses, or whose vector is no direction (not finite, or of no length), belong to no person.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.holding import hold_links
from deployments.algorithms.people.label_matching import Labels
from deployments.algorithms.people.linkage import link
from deployments.algorithms.people.links import Links
from deployments.algorithms.people.neighbours import Forest
from deployments.algorithms.people.selection import Faces, place_claimed, select_faces, unit
from deployments.contracts.albums import UNASSIGNED
from deployments.contracts.arrays import Vectors


@dataclass(frozen=True, slots=True)
class ClusteringOptions:
    """Thresholds and limits of face clustering."""

    cut: float = 0.385
    """Two groups of faces are one person up to this root-mean-square distance between them (unit vectors)."""
    group_cut: float | None = None
    """Two groups are one person up to this distance between their mean directions too; None: they are not compared."""
    min_quality: float = 0.2
    """Faces under this quality, 0 to 1, belong to no person."""
    forest: Forest = field(default_factory=Forest)
    exact_faces: int = 4096
    """Albums up to this size are updated to exactly the grouping that grouping all of them anew gives."""
    dissolved_clusters: int = 8
    """Nearest clusters that a new face may change in larger albums; more were never needed."""
    settled_faces: int = 24
    """Size above which a cluster in a larger album takes new faces and others in, but is not taken apart."""
    reach: float = 0.052
    """Share of the cut beyond it at which a cluster in a larger album may still change for a new face."""


@dataclass(frozen=True, slots=True)
class Atoms:
    """Starting points of linkage, in canonical order: faces with one vector are united."""

    means: Vectors
    counts: NDArray[np.int64]
    pictures: list[set[int]]
    atom_of: NDArray[np.int64]
    """The atom of each face."""


def group_faces(
    vectors: Vectors,
    pictures: NDArray[np.int64],
    quality: Vectors,
    grouping: ClusteringOptions,
    links: Links | None = None,
) -> Labels:
    """Group face vectors `float32[N, D]`, with the image of each and quality 0 to 1, into people `int64[N]`, -1: none.

    People are numbered from 0, the most frequent first. Two faces of one image are never one person, unless they are
    prints of one photograph (`find_prints`), of which one stands for all, or a must-link says so. All `links` hold: a
    face that is claimed by one is somebody's, however poor. Neither the people nor their numbers depend on the order of
    the faces or on how images are numbered, except that faces with the same vector in images with the same faces are
    interchangeable. Raises `ValueError` on arrays of unlike length and on links that contradict each other.
    """
    faces = select_faces(vectors, pictures, quality, grouping.min_quality, grouping.cut, links)
    labels = np.full(len(vectors), UNASSIGNED)
    if len(faces):
        rows, linked = link_rows(faces, np.arange(len(faces)), [], grouping)
        kept = np.empty(len(faces), np.int64)
        kept[rows] = linked
        labels[faces.usable] = number(hold_links(faces, kept, grouping.cut))[faces.photograph]
    return place_claimed(labels, np.full(len(vectors), UNASSIGNED), faces)


def link_rows(
    faces: Faces, loose: NDArray[np.int64], whole: Sequence[NDArray[np.int64]], grouping: ClusteringOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Link faces one by one, and others as the groups that they are.

    `loose` `int64[L]`, `whole`: rows of `faces`, disjoint. -> the rows, in another order, and the group of each
    """
    atoms = make_atoms(faces[loose], faces.pictures[loose])
    means = np.empty((len(whole), atoms.means.shape[1]), np.float32)
    for place, members in enumerate(whole):
        means[place] = faces[members].mean(axis=0, dtype=np.float64)
    # Groups come after the faces, in an order of their own that does not depend on how faces came.
    order = sorted(range(len(whole)), key=lambda place: means[place].tobytes())
    whole = [whole[place] for place in order]
    sizes = np.array([len(members) for members in whole], np.int64)
    linked = link_groups(
        np.concatenate([atoms.means, means[order]]),
        np.concatenate([atoms.counts, sizes]),
        [*atoms.pictures, *(set(faces.pictures[members].tolist()) for members in whole)],
        grouping,
    )
    of_atoms, of_whole = linked[: len(atoms.counts)], linked[len(atoms.counts) :]
    return np.concatenate([loose, *whole]), np.concatenate([of_atoms[atoms.atom_of], np.repeat(of_whole, sizes)])


def link_groups(
    means: Vectors, counts: NDArray[np.int64], pictures: Sequence[AbstractSet[int]], grouping: ClusteringOptions
) -> NDArray[np.int64]:
    """Link atoms, then the groups that they became by their mean directions; -> the group of each atom, named by its
    lowest atom, `int64[N]`.

    A group's mean direction is its person's with less of what single images add: a face that is too far from the faces
    of its person on average may still lie near the direction, and a stranger's does not come as much nearer. Groups
    take part with their numbers of faces, and those that share an image stay apart.
    """
    cluster = link(means, counts, pictures, grouping.cut, grouping.forest).cluster
    if grouping.group_cut is None:
        return cluster
    named, group = np.unique(cluster, return_inverse=True)
    faces = np.zeros(len(named), np.int64)
    np.add.at(faces, group, counts)
    totals = np.zeros((len(named), means.shape[1]), np.float64)
    np.add.at(totals, group, means * counts[:, None])
    held: list[set[int]] = [set() for _ in named]
    for place, of_atom in zip(group.tolist(), pictures, strict=True):
        held[place] |= of_atom
    directions = unit((totals / faces[:, None]).astype(np.float32))
    return named[link(directions, faces, held, grouping.group_cut, grouping.forest).cluster[group]]


def make_atoms(vectors: Vectors, pictures: NDArray[np.int64]) -> Atoms:
    """Sort unit vectors canonically and unite equal ones of different images (an image uploaded twice).

    Equal vectors merge first in any case, since nothing is nearer; thousands of them would slow linkage down.
    """
    if not len(vectors):
        return Atoms(vectors, np.zeros(0, np.int64), [], np.zeros(0, np.int64))
    order, rank = _sort(vectors, pictures)
    rank, held = rank[order], pictures[order]
    start = np.searchsorted(rank, rank)
    # The j-th face of its image with this very vector belongs to the vector's j-th atom.
    copy = np.zeros(len(order), np.int64)
    for row in np.flatnonzero((start[1:] == start[:-1]) & (held[1:] == held[:-1])) + 1:
        copy[row] = copy[row - 1] + 1
    _, first, atom, counts = np.unique(
        np.stack([rank, copy], axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    of_atom: list[set[int]] = [set() for _ in first]
    for index, picture in zip(atom.ravel().tolist(), held.tolist(), strict=True):
        of_atom[index].add(picture)
    atom_of = np.empty(len(order), np.int64)
    atom_of[order] = atom.ravel()
    return Atoms(vectors[order[first]], counts, of_atom, atom_of)


def number(clusters: NDArray[np.int64]) -> Labels:
    """Number clusters from 0 by falling size, equal sizes by rising name."""
    _, inverse, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    place = np.empty(len(counts), np.int64)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return place[inverse]


def _sort(vectors: Vectors, pictures: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order faces by nothing but what faces and images hold, and rank them; equal vectors share a rank."""
    # Adding nothing turns -0 into 0, so that equal vectors have equal bytes.
    rows = (
        np.ascontiguousarray(vectors + np.float32(0))
        .view(np.dtype((np.void, vectors.itemsize * vectors.shape[1])))
        .ravel()
    )
    order = np.argsort(rows, kind="stable")
    sorted_rows = rows[order]
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.concatenate([[0], np.cumsum(sorted_rows[1:] != sorted_rows[:-1])])
    if rank.max() + 1 < len(rank):
        # Equal vectors are told apart by the other faces of their images, never by how images are numbered.
        place = _sort_pictures(rank, pictures)
        order = np.lexsort((pictures, place, rank))
    return order, rank


def _sort_pictures(rank: NDArray[np.int64], pictures: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank each face's image among all images, by the vectors that they hold."""
    holds: dict[int, list[int]] = {}
    for face_rank, picture in sorted(zip(rank.tolist(), pictures.tolist(), strict=True)):
        holds.setdefault(picture, []).append(face_rank)
    contents: Sequence[tuple[int, ...]] = sorted({tuple(held) for held in holds.values()})
    place = {content: index for index, content in enumerate(contents)}
    return np.array([place[tuple(holds[picture])] for picture in pictures.tolist()])
