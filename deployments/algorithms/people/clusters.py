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

from deployments.algorithms.people.label_matching import Labels
from deployments.algorithms.people.linkage import link
from deployments.algorithms.people.neighbours import Forest
from deployments.algorithms.people.prints import find_prints
from deployments.contracts.albums import UNASSIGNED
from deployments.contracts.arrays import Vectors

LEAST_LENGTH = 1e-6
"""Length under which a vector has no direction."""
UNIT_SLACK = 1e-5
"""Rounding of float32 by which the length of a unit vector may differ from one."""


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


def group_faces(vectors: Vectors, pictures: NDArray[np.int64], quality: Vectors, grouping: ClusteringOptions) -> Labels:
    """Group face vectors `float32[N, D]`, with the image of each and quality 0 to 1, into people `int64[N]`, -1: none.

    People are numbered from 0, the most frequent first. Two faces of one image are never one person, unless they are
    prints of one photograph (`find_prints`); of these one stands for all. Neither the
    people nor their numbers depend on the order of the faces or on how images are numbered, except that faces with
    the same vector in images with the same faces are interchangeable. Raises `ValueError` on arrays of unlike length.
    """
    usable = find_usable(vectors, pictures, quality, grouping.min_quality)
    labels = np.full(len(vectors), UNASSIGNED)
    if len(usable):
        stands = find_prints(vectors, usable, pictures[usable], grouping.cut)
        kept, photograph = np.unique(stands, return_inverse=True)
        atoms = make_atoms(unit(vectors[usable[kept]]), pictures[usable[kept]])
        linked = link_groups(atoms.means, atoms.counts, atoms.pictures, grouping)
        labels[usable] = number(linked[atoms.atom_of][photograph])
    return labels


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


def find_usable(
    vectors: Vectors, pictures: NDArray[np.int64], quality: Vectors, min_quality: float
) -> NDArray[np.int64]:
    """Select the rows of the faces that can belong to a person."""
    if vectors.ndim != 2 or not len(vectors) == len(pictures) == len(quality):
        raise ValueError("vectors, pictures and quality must be of one length")
    length = np.einsum("nd,nd->n", vectors, vectors)
    # A quality that is no number fails every comparison.
    return np.flatnonzero((quality >= min_quality) & np.isfinite(length) & (length > LEAST_LENGTH**2))


def unit(vectors: Vectors) -> Vectors:
    """Scale vectors to length one; those that are so within `UNIT_SLACK` stay as they are."""
    length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    off = np.abs(length - 1) > UNIT_SLACK
    if not off.any():
        return vectors
    vectors = vectors.copy()
    vectors[off] /= length[off, None]
    return vectors


def make_atoms(vectors: Vectors, pictures: NDArray[np.int64]) -> Atoms:
    """Sort unit vectors canonically and unite equal ones of different images (an image uploaded twice).

    Equal vectors merge first in any case, since nothing is nearer; thousands of them would slow linkage down.
    """
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
