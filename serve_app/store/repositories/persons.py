"""Persons of an album: clusters of faces, with ids that stay when images come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.arrays import any_text
from serve_app.store.ids import new_id
from serve_app.store.models import PersonRow

UNASSIGNED = -1
"""Label of a face that belongs to no person."""
UNKNOWN = -2
"""Label of a face that has not been clustered yet."""


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


async def load(session: AsyncSession, album_id: str) -> dict[int, StoredPerson]:
    """Load the album's persons by label."""
    rows = await session.execute(select(PersonRow.id, PersonRow.label).where(PersonRow.album_id == album_id))
    return {label: StoredPerson(person_id, label) for person_id, label in rows}


async def save(
    session: AsyncSession, album_id: str, face_ids: NDArray[np.int64], clusters: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Replace the album's grouping by `clusters` (`int64[N]`, -1 for unassigned). -> the persons' labels, `int64[N]`

    A cluster continues the person with whom it shares the most faces, so a person keeps its id and label however the
    clusterer numbers them; two clusters never inherit one person. Persons without a face are deleted. The caller holds
    the album's lock (`albums.open_album`), or runs in the album's only job of this kind.
    """
    old = await load(session, album_id)
    inherited = inherit_labels(await load_labels(session, album_id, face_ids), clusters)
    free = max(old, default=-1) + 1
    labels = {cluster: inherited.get(cluster) for cluster in np.unique(clusters[clusters >= 0]).tolist()}
    for cluster, label in labels.items():
        if label is None:
            labels[cluster] = free
            free += 1
    named = {UNASSIGNED: UNASSIGNED, **{cluster: int(label) for cluster, label in labels.items() if label is not None}}
    result = np.array([named[cluster] for cluster in np.maximum(clusters, -1).tolist()], np.int64)

    ids = {label: person.id for label, person in old.items()}
    new = [label for label in named.values() if label != UNASSIGNED and label not in ids]
    if new:
        rows = [{"id": new_id("per"), "album_id": album_id, "label": label} for label in new]
        await session.execute(insert(PersonRow), rows)
        ids |= {row["label"]: row["id"] for row in rows}  # type: ignore[misc]
    gone = [ids[label] for label in old if label not in set(named.values())]
    await _replace_faces(session, album_id, gone)
    parameters = {
        "album_id": album_id,
        "faces": face_ids.tolist(),
        "persons": [ids.get(label) for label in result.tolist()],
    }
    await session.execute(_ASSIGN, parameters)
    return result


def inherit_labels(previous: NDArray[np.int64], clusters: NDArray[np.int64]) -> dict[int, int]:
    """Map clusters to labels of the earlier persons that they continue: largest overlaps first, each side used once."""
    both = (previous >= 0) & (clusters >= 0)
    pairs, first, shared = np.unique(
        np.stack([clusters[both], previous[both]]), axis=1, return_index=True, return_counts=True
    )
    heirs: dict[int, int] = {}
    taken: set[int] = set()
    # Ties go to the older label, then to the earlier face: how the clusters are numbered decides nothing.
    order = np.lexsort((first, pairs[1], -shared))
    for cluster, label in pairs[:, order].T.tolist():
        if cluster not in heirs and label not in taken:
            heirs[cluster] = label
            taken.add(label)
    return heirs


async def _replace_faces(session: AsyncSession, album_id: str, person_ids: Sequence[str]) -> None:
    await session.execute(text("DELETE FROM person_faces WHERE album_id = :album_id"), {"album_id": album_id})
    await session.execute(delete(PersonRow).where(PersonRow.album_id == album_id, PersonRow.id == any_text(person_ids)))
