"""Persons of an album: clusters of faces, with ids that stay when images come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.algorithms.people.label_matching import continue_labels
from deployments.algorithms.people.moving import match_places
from deployments.contracts.albums import UNASSIGNED, UNKNOWN
from serve_app.store.ids import new_id
from serve_app.store.repositories.faces import StoredFaces


@dataclass(frozen=True, slots=True)
class StoredPerson:
    """A person of an album."""

    id: str
    label: int
    """Label that the clusterer gets in `previous`."""


_GROUPING = text("""
    SELECT array_agg(face_id) AS faces, array_agg(coalesce(label, -1)) AS labels
    FROM person_faces LEFT JOIN persons ON persons.id = person_id
    WHERE person_faces.album_id = :album_id
""")
"""The grouping of an album as two arrays: as rows, each of 100,000 faces would be an object of its own."""
_PERSONS = text("SELECT array_agg(id) AS ids, array_agg(label) AS labels FROM persons WHERE album_id = :album_id")
_PERSON_LABELS = text("SELECT array_agg(label) FROM persons WHERE album_id = :album_id")
_OF_OTHER_MODELS = text("""
    SELECT sha256, bbox, coalesce(label, -1) AS label
    FROM person_faces
    JOIN faces ON faces.id = face_id
    LEFT JOIN persons ON persons.id = person_id
    WHERE person_faces.album_id = :album_id AND faces.model <> :model
    AND sha256 = ANY(CAST(:shas AS text[]))
    ORDER BY face_id
""")
_ADD = text("""
    INSERT INTO persons (id, album_id, label)
    SELECT id, :album_id, label FROM unnest(CAST(:ids AS text[]), CAST(:labels AS integer[])) AS new (id, label)
""")
_ASSIGN = text("""
    INSERT INTO person_faces (album_id, face_id, person_id)
    SELECT :album_id, face_id, persons.id
    FROM unnest(CAST(:faces AS bigint[]), CAST(:labels AS integer[])) AS new (face_id, label)
    LEFT JOIN persons ON persons.album_id = :album_id AND persons.label = new.label
    WHERE EXISTS (SELECT FROM faces WHERE id = face_id)
    ON CONFLICT (album_id, face_id) DO UPDATE SET person_id = excluded.person_id
""")
_TAKE_OUT = text("DELETE FROM person_faces WHERE album_id = :album_id AND face_id = ANY(CAST(:faces AS bigint[]))")
_REMOVE = text("DELETE FROM persons WHERE album_id = :album_id AND label = ANY(CAST(:labels AS integer[]))")


@dataclass(frozen=True, slots=True)
class _Grouping:
    """The stored grouping of an album."""

    faces: NDArray[np.int64]
    """Face ids `int64[F]`, sorted."""
    labels: NDArray[np.int64]
    """Their persons' labels `int64[F]`, or `UNASSIGNED`."""

    def labels_of(self, face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up labels, `int64[N]`; `UNKNOWN` for faces that are in no stored grouping."""
        if not len(self.faces):
            return np.full(len(face_ids), UNKNOWN)
        place = np.minimum(np.searchsorted(self.faces, face_ids), len(self.faces) - 1)
        return np.where(self.faces[place] == face_ids, self.labels[place], UNKNOWN)

    def faces_beside(self, face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the stored faces that are none of `face_ids`."""
        place = np.searchsorted(self.faces, face_ids)
        is_other = np.ones(len(self.faces) + 1, np.bool_)
        is_other[place[np.append(self.faces, -1)[place] == face_ids]] = False
        return self.faces[is_other[:-1]]


async def load_labels(session: AsyncSession, album_id: str, face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Load what `cluster_faces` takes as `previous`, `int64[N]`: a person's label, `UNASSIGNED` or `UNKNOWN`."""
    return (await _load_grouping(session, album_id)).labels_of(face_ids)


async def load_moved_labels(
    session: AsyncSession, album_id: str, model: str, found: StoredFaces, shas: Sequence[str]
) -> NDArray[np.int64] | None:
    """Load the labels of an album whose persons consist of another model's faces: for each of `found`, the faces of the
    contents `shas` by `model`, the label of the other model's face in the same place, `int64[N]`.

    None where no person has a face of another model.
    """
    parameters = {"album_id": album_id, "model": model, "shas": list(shas)}
    rows = (await session.execute(_OF_OTHER_MODELS, parameters)).all()
    if not rows:
        return None
    place = {sha: index for index, sha in enumerate(shas)}
    return match_places(
        np.array([place[row.sha256] for row in rows], np.int64),
        np.array([row.bbox for row in rows], np.float32),
        np.array([row.label for row in rows], np.int64),
        found.pictures,
        found.boxes,
    )


async def load(session: AsyncSession, album_id: str) -> dict[int, StoredPerson]:
    """Load the album's persons by label."""
    row = (await session.execute(_PERSONS, {"album_id": album_id})).one()
    return {
        label: StoredPerson(person_id, label) for person_id, label in zip(row.ids or (), row.labels or (), strict=True)
    }


async def save(
    session: AsyncSession,
    album_id: str,
    face_ids: NDArray[np.int64],
    clusters: NDArray[np.int64],
    moved: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Make `clusters` (`int64[N]`, -1 for unassigned) the album's grouping. -> the persons' labels, `int64[N]`

    A cluster continues the person with whom it shares the most faces, so a person keeps its id and label however the
    clusterer numbers them; two clusters never inherit one person. Persons without a face are deleted. Only rows that
    differ from the stored ones are written. `moved`: labels to continue in place of those that are stored
    (`load_moved_labels`). The caller holds the album's lock (`albums.open_album`), or runs in the album's only job of
    this kind.
    """
    stored = await _load_grouping(session, album_id)
    held = stored.labels_of(face_ids)
    known = np.array(await session.scalar(_PERSON_LABELS, {"album_id": album_id}) or (), np.int64)
    previous = held if moved is None else np.where(held >= 0, held, moved)
    result = continue_labels(previous, clusters, highest=int(known.max(initial=UNASSIGNED)))
    changed = result != held
    await _add(session, album_id, np.setdiff1d(result[changed & (result >= 0)], known))
    await _assign(session, album_id, face_ids, result, changed)
    await _remove(session, album_id, stored.faces_beside(face_ids), known[~np.isin(known, result)])
    return result


async def _load_grouping(session: AsyncSession, album_id: str) -> _Grouping:
    row = (await session.execute(_GROUPING, {"album_id": album_id})).one()
    faces, labels = np.array(row.faces or (), np.int64), np.array(row.labels or (), np.int64)
    order = np.argsort(faces)
    return _Grouping(faces[order], labels[order])


async def _add(session: AsyncSession, album_id: str, labels: NDArray[np.int64]) -> None:
    if len(labels):
        parameters = {"album_id": album_id, "ids": [new_id("per") for _ in labels], "labels": labels.tolist()}
        await session.execute(_ADD, parameters)


async def _assign(
    session: AsyncSession,
    album_id: str,
    face_ids: NDArray[np.int64],
    labels: NDArray[np.int64],
    changed: NDArray[np.bool_],
) -> None:
    if changed.any():
        parameters = {"album_id": album_id, "faces": face_ids[changed].tolist(), "labels": labels[changed].tolist()}
        await session.execute(_ASSIGN, parameters)


async def _remove(session: AsyncSession, album_id: str, faces: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    """Remove faces that the album no longer has, and persons who have none."""
    if len(faces):
        await session.execute(_TAKE_OUT, {"album_id": album_id, "faces": faces.tolist()})
    if len(labels):
        await session.execute(_REMOVE, {"album_id": album_id, "labels": labels.tolist()})
