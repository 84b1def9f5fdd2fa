"""Faces that take part in a grouping, by their quality, by what links say and by who stands for prints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.people.label_matching import Labels
from deployments.algorithms.people.links import Bonds, Links
from deployments.algorithms.people.prints import find_prints
from deployments.contracts.albums import UNASSIGNED
from deployments.contracts.arrays import Vectors

LEAST_LENGTH = 1e-6
"""Length under which a vector has no direction."""
UNIT_SLACK = 1e-5
"""Rounding of float32 by which the length of a unit vector may differ from one."""


class Faces:
    """Usable faces, of each photograph one, whose vectors are taken out only where they are needed: a copy of all costs
    more than the rest."""

    def __init__(
        self, vectors: Vectors, pictures: NDArray[np.int64], usable: NDArray[np.int64], stands: NDArray[np.int64]
    ) -> None:
        """`usable`: rows of `vectors`; `stands`: for each of them the row that stands for its photograph."""
        self._vectors = vectors
        self.usable = usable
        self.kept, self.photograph = np.unique(stands, return_inverse=True)
        """Rows that take part, and for each usable face the place of its photograph among them."""
        self.pictures = pictures[self.kept]
        self.bonds: Bonds | None = None
        self.claimed = np.zeros(len(vectors), np.bool_)
        self.union = np.zeros(0, np.int64)

    def bind(self, links: Links, union: NDArray[np.int64]) -> None:
        """Note what links say. `union`: of each face, as `Links.unite` gives it."""
        self.bonds, self.claimed, self.union = links.bonds(union, self.kept), links.claimed, union

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, rows: NDArray[np.int64]) -> Vectors:
        return unit(self._vectors[self.kept[rows]])

    def has_image_twice(self, rows: NDArray[np.int64], labels: Labels) -> Labels:
        """Find the labels `int64[R]` of rows that two faces of one image have which are not bound to each other."""
        bound = np.full(len(rows), -1) if self.bonds is None else self.bonds.unit[rows]
        order = np.lexsort((bound, self.pictures[rows], labels))
        label, picture, unit_of = labels[order], self.pictures[rows][order], bound[order]
        again = (label[1:] == label[:-1]) & (picture[1:] == picture[:-1])
        return np.unique(label[1:][again & ((unit_of[1:] != unit_of[:-1]) | (unit_of[1:] < 0))])


def select_faces(
    vectors: Vectors,
    pictures: NDArray[np.int64],
    quality: Vectors,
    min_quality: float,
    cut: float,
    links: Links | None = None,
) -> Faces:
    """Select the faces that take part in a grouping: those of this quality, of prints of one photograph (`cut`: up to
    which two faces are one person) one. Raises `ValueError` as `group_faces` does."""
    usable = find_usable(vectors, pictures, quality, min_quality)
    if links is None:
        stands = find_prints(vectors, usable, pictures[usable], cut) if len(usable) else usable
        return Faces(vectors, pictures, usable, usable[stands])
    usable = usable[~links.nobody[usable]]
    stand_of = np.arange(len(vectors))
    if len(usable):
        stand_of[usable] = usable[find_prints(vectors, usable, pictures[usable], cut)]
    stand_of, union = links.unite(stand_of)
    faces = Faces(vectors, pictures, usable, stand_of[usable])
    faces.bind(links, union)
    return faces


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


def place_claimed(labels: Labels, previous: Labels, faces: Faces) -> Labels:
    """Label the claimed faces that took no part, too poor for it: as the faces that they are bound to, else as before,
    else anew; those that are bound to each other as one. -> `int64[N]`"""
    poor = np.flatnonzero(faces.claimed & (labels < 0))
    if not len(poor):
        return labels
    labels = labels.copy()
    united = np.isin(faces.union, faces.union[poor]) & (labels >= 0)
    label_of = dict(zip(faces.union[united].tolist(), labels[united].tolist(), strict=True))
    taken = set(labels[labels >= 0].tolist())
    following = max(int(labels.max(initial=UNASSIGNED)), int(previous.max(initial=UNASSIGNED))) + 1
    for face in poor.tolist():
        union = int(faces.union[face])
        if union not in label_of:
            known = int(previous[face])
            label_of[union] = known if known >= 0 and known not in taken else following
            taken.add(label_of[union])
            following = max(following, label_of[union] + 1)
        labels[face] = label_of[union]
    return labels
