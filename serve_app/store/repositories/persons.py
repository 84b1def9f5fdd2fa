"""Persons of an album: clusters of faces, with ids that stay when images come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.algorithms.people.label_matching import carry_labels, number_by_first_face
from deployments.algorithms.people.moving import match_places
from deployments.contracts.albums import UNASSIGNED, UNKNOWN
from serve_app.store.arrays import any_text
from serve_app.store.ids import new_id
from serve_app.store.models import PersonRow
from serve_app.store.repositories.faces import StoredFaces


@dataclass(frozen=True, slots=True)
class StoredPerson:
    """A person of an album."""

    id: str
    label: int
    """Label that the clusterer gets in `previous`."""


_LABELS = text("""
    SELECT face_id, coalesce(label, -1) AS label
    FROM person_faces LEFT JOIN persons ON persons.id = person_id
    WHERE person_faces.album_id = :album_id
""")
_OF_OTHER_MODELS = text("""
    SELECT sha256, bbox, coalesce(label, -1) AS label
    FROM person_faces
    JOIN faces ON faces.id = face_id
    LEFT JOIN persons ON persons.id = person_id
    WHERE person_faces.album_id = :album_id AND faces.model <> :model
    AND sha256 = ANY(CAST(:shas AS text[]))
    ORDER BY face_id
""")
_ASSIGN = text("""
    INSERT INTO person_faces (album_id, face_id, person_id)
    SELECT :album_id, face_id, person_id
    FROM unnest(CAST(:faces AS bigint[]), CAST(:persons AS text[])) AS new (face_id, person_id)
    WHERE EXISTS (SELECT FROM faces WHERE id = face_id)
""")


async def load_labels(session: AsyncSession, album_id: str, face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Load what `cluster_faces` takes as `previous`, `int64[N]`: a person's label, `UNASSIGNED` or `UNKNOWN`."""
    known = {row.face_id: row.label for row in await session.execute(_LABELS, {"album_id": album_id})}
    return np.array([known.get(face_id, UNKNOWN) for face_id in face_ids.tolist()], np.int64)


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
    rows = await session.execute(select(PersonRow.id, PersonRow.label).where(PersonRow.album_id == album_id))
    return {label: StoredPerson(person_id, label) for person_id, label in rows}


async def save(
    session: AsyncSession,
    album_id: str,
    face_ids: NDArray[np.int64],
    clusters: NDArray[np.int64],
    moved: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Replace the album's grouping by `clusters` (`int64[N]`, -1 for unassigned). -> the persons' labels, `int64[N]`

    A cluster continues the person with whom it shares the most faces, so a person keeps its id and label however the
    clusterer numbers them; two clusters never inherit one person. Persons without a face are deleted. `moved`: labels
    to continue in place of those that are stored (`load_moved_labels`). The caller holds the album's lock
    (`albums.open_album`), or runs in the album's only job of this kind.
    """
    old = await load(session, album_id)
    previous = await load_labels(session, album_id, face_ids)
    if moved is not None:
        previous = np.where(previous >= 0, previous, moved)
    result = carry_labels(previous, number_by_first_face(clusters), highest=max(old, default=UNASSIGNED))
    labels = set(result[result >= 0].tolist())

    ids = {label: person.id for label, person in old.items()}
    new = sorted(labels - ids.keys())
    if new:
        rows = [{"id": new_id("per"), "album_id": album_id, "label": label} for label in new]
        await session.execute(insert(PersonRow), rows)
        ids |= {row["label"]: row["id"] for row in rows}
    gone = [ids[label] for label in old if label not in labels]
    await _replace_faces(session, album_id, gone)
    parameters = {
        "album_id": album_id,
        "faces": face_ids.tolist(),
        "persons": [ids.get(label) for label in result.tolist()],
    }
    await session.execute(_ASSIGN, parameters)
    return result


async def _replace_faces(session: AsyncSession, album_id: str, person_ids: Sequence[str]) -> None:
    await session.execute(text("DELETE FROM person_faces WHERE album_id = :album_id"), {"album_id": album_id})
    await session.execute(delete(PersonRow).where(PersonRow.album_id == album_id, PersonRow.id == any_text(person_ids)))
