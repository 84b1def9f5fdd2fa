"""Persons of an album: clusters of faces, with ids that stay when images come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
    SELECT
        (SELECT string_agg(int8send(face_id) || int8send(coalesce(hashtextextended(person_id, :seed), 0)), '')
         FROM person_faces WHERE album_id = :album_id) AS faces,
        (SELECT string_agg(int8send(hashtextextended(id, :seed)) || int8send(label), '')
         FROM persons WHERE album_id = :album_id) AS persons
""")
"""The grouping of an album as records of 16 bytes (`_FACE`, `_PERSON`). As rows, each of 100,000 faces would be an
object of its own, and joined by PostgreSQL rather than by the hashes of their persons' ids they take twice the time."""
_FACE = np.dtype([("id", ">i8"), ("person", ">i8")])
_PERSON = np.dtype([("id", ">i8"), ("label", ">i8")])
_NOBODY = 0
"""Hash in place of a face's person where it has none."""
_PERSONS = text("SELECT array_agg(id) AS ids, array_agg(label) AS labels FROM persons WHERE album_id = :album_id")
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
_GROUPED_AT = text("SELECT people_grouped_at FROM albums WHERE id = :album_id")
_NOTE_GROUPED = text("UPDATE albums SET people_grouped_at = clock_timestamp() WHERE id = :album_id")
_TAKE_OUT = text("DELETE FROM person_faces WHERE album_id = :album_id AND face_id = ANY(CAST(:faces AS bigint[]))")
_REMOVE = text("DELETE FROM persons WHERE album_id = :album_id AND label = ANY(CAST(:labels AS integer[]))")


@dataclass(frozen=True, slots=True)
class _Grouping:
    """The stored grouping of an album."""

    faces: NDArray[np.int64]
    """Face ids `int64[F]`, sorted."""
    labels: NDArray[np.int64]
    """Their persons' labels `int64[F]`, or `UNASSIGNED`."""
    known: NDArray[np.int64]
    """Labels of all persons, `int64[P]`."""

    def places_of(self, face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find faces among the stored ones, `int64[N]`; -1 where they are none of them."""
        places = np.searchsorted(self.faces, face_ids)
        return np.where(np.append(self.faces, -1)[places] == face_ids, places, -1)

    def labels_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up labels by places, `int64[N]`; `UNKNOWN` for -1."""
        return np.append(self.labels, UNKNOWN)[places]

    def faces_beside(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the stored faces at other places."""
        is_other = np.ones(len(self.faces) + 1, np.bool_)  # the last one is that of -1
        is_other[places] = False
        return self.faces[is_other[:-1]]


async def load_grouped_at(session: AsyncSession, album_id: str) -> datetime | None:
    """Load when the album's faces were grouped last."""
    found: datetime | None = await session.scalar(_GROUPED_AT, {"album_id": album_id})
    return found


async def note_grouped(session: AsyncSession, album_id: str) -> None:
    """Note that the album's faces were grouped."""
    await session.execute(_NOTE_GROUPED, {"album_id": album_id})


async def load_labels(session: AsyncSession, album_id: str, face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Load what `cluster_faces` takes as `previous`, `int64[N]`: a person's label, `UNASSIGNED` or `UNKNOWN`."""
    stored = await _load_grouping(session, album_id)
    return stored.labels_at(stored.places_of(face_ids))


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
    places = stored.places_of(face_ids)
    held, known = stored.labels_at(places), stored.known
    previous = held if moved is None else np.where(held >= 0, held, moved)
    result = continue_labels(previous, clusters, highest=int(known.max(initial=UNASSIGNED)))
    changed = result != held
    await _add(session, album_id, np.setdiff1d(result[changed & (result >= 0)], known))
    await _assign(session, album_id, face_ids, result, changed)
    await _remove(session, album_id, stored.faces_beside(places), known[~np.isin(known, result)])
    return result


async def _load_grouping(session: AsyncSession, album_id: str, seed: int = 0) -> _Grouping:
    """`seed`: of the hashes; another is tried when two persons share one."""
    row = (await session.execute(_GROUPING, {"album_id": album_id, "seed": seed})).one()
    faces, persons = np.frombuffer(row.faces or b"", _FACE), np.frombuffer(row.persons or b"", _PERSON)
    hashes, first = np.unique(np.append(persons["id"].astype(np.int64), _NOBODY), return_index=True)
    if len(hashes) <= len(persons):
        return await _load_grouping(session, album_id, seed + 1)
    known = persons["label"].astype(np.int64)
    labels = np.append(known, UNASSIGNED)[first[np.searchsorted(hashes, faces["person"].astype(np.int64))]]
    ids = faces["id"].astype(np.int64)
    order = np.argsort(ids)
    return _Grouping(ids[order], labels[order], known)


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
