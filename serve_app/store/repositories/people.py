"""People of users as they are grouped and corrected: whose face is whose, in all albums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.algorithms.people.label_matching import continue_labels, settle_labels
from deployments.algorithms.people.moving import match_places
from deployments.contracts.albums import UNASSIGNED, UNKNOWN
from serve_app.store.ids import new_id
from serve_app.store.repositories.faces import StoredFaces

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contents:
    """File contents of a user's images, each once, also those in the trash; temporary ones are left out."""

    shas: list[str]
    widths: list[int]
    heights: list[int]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Whose the stored faces are."""

    faces: Ids
    """Ids of faces `int64[F]`, sorted."""
    labels: Ids
    """Their people's labels `int64[F]`, or `UNASSIGNED`."""
    people: Mapping[str, int]
    """Id of each person -> its label, those without a face too."""
    merged: Mapping[str, str]
    """Id of a person that was found to be another -> that one's."""

    def labels_of(self, face_ids: Ids) -> Ids:
        """Look up labels of faces, `int64[N]`; `UNKNOWN` for those that are not stored."""
        places = np.searchsorted(self.faces, face_ids)
        is_known = np.append(self.faces, -1)[places] == face_ids
        return np.where(is_known, np.append(self.labels, UNKNOWN)[places], UNKNOWN)


def root_of(merged: Mapping[str, str], person_id: str) -> str:
    """Find the person that one was found to be in the end. `merged`: as `load_merged` gives it."""
    while person_id in merged:
        person_id = merged[person_id]
    return person_id


_STATE = text("SELECT people_revision, people_grouped, people_grouped_at FROM users WHERE id = :user_id")
_LOCK = text(f"{_STATE.text} FOR NO KEY UPDATE")
_GROUPED = text("""
    UPDATE users SET people_grouped = people_revision, people_grouped_at = clock_timestamp() WHERE id = :user_id
""")
_BUMP = text("UPDATE users SET people_revision = people_revision + 1 WHERE id = :user_id")
_CONTENTS = text("""
    SELECT DISTINCT contents.sha256, width, height FROM images JOIN contents ON contents.sha256 = images.sha256
    WHERE user_id = :user_id AND NOT temporary ORDER BY contents.sha256
""")
_FACES = text("""
    SELECT array_agg(face_id ORDER BY face_id) AS ids, array_agg(coalesce(label, -1) ORDER BY face_id) AS labels
    FROM people_faces LEFT JOIN people ON people.id = person_id WHERE people_faces.user_id = :user_id
""")
_PEOPLE = text("SELECT id, label, merged_into FROM people WHERE user_id = :user_id")
_MERGED = text("SELECT id, merged_into FROM people WHERE user_id = :user_id AND merged_into IS NOT NULL")
_HAS_NEW = text("""
    SELECT EXISTS (
        SELECT FROM images JOIN faces ON faces.sha256 = images.sha256 AND model = :model
        WHERE images.user_id = :user_id AND NOT temporary
        AND NOT EXISTS (
            SELECT FROM people_faces WHERE people_faces.user_id = :user_id AND people_faces.face_id = faces.id
        )
    ) OR EXISTS (
        SELECT FROM people_faces JOIN faces ON faces.id = face_id
        JOIN face_scans ON face_scans.sha256 = faces.sha256 AND face_scans.model = :model
        WHERE people_faces.user_id = :user_id AND faces.model <> :model
    )
""")
_OF_OTHER_MODELS = text("""
    SELECT sha256, bbox, coalesce(label, -1) AS label
    FROM people_faces JOIN faces ON faces.id = face_id LEFT JOIN people ON people.id = person_id
    WHERE people_faces.user_id = :user_id AND faces.model <> :model AND sha256 = ANY(CAST(:shas AS text[]))
    ORDER BY face_id
""")
_ADD = text("""
    INSERT INTO people (id, user_id, label)
    SELECT id, :user_id, label FROM unnest(CAST(:ids AS text[]), CAST(:labels AS integer[])) AS new (id, label)
""")
_ASSIGN = text("""
    INSERT INTO people_faces (user_id, face_id, person_id)
    SELECT :user_id, face_id, people.id
    FROM unnest(CAST(:faces AS bigint[]), CAST(:labels AS integer[])) AS new (face_id, label)
    LEFT JOIN people ON people.user_id = :user_id AND people.label = new.label
    WHERE EXISTS (SELECT FROM faces WHERE id = face_id)
    ON CONFLICT (user_id, face_id) DO UPDATE SET person_id = excluded.person_id
""")
_REMOVE_GONE = text("""
    DELETE FROM people_faces USING faces
    WHERE people_faces.user_id = :user_id AND faces.id = face_id AND (
        NOT EXISTS (
            SELECT FROM images WHERE images.sha256 = faces.sha256 AND images.user_id = :user_id AND NOT temporary
        )
        OR model <> :model AND EXISTS (
            SELECT FROM face_scans WHERE face_scans.sha256 = faces.sha256 AND face_scans.model = :model
        )
    )
    RETURNING person_id
""")
_TOUCH = text("""
    UPDATE people SET revision = revision + 1, updated_at = now(),
        size = (SELECT count(*) FROM people_faces WHERE person_id = people.id)
    WHERE user_id = :user_id AND (id = ANY(CAST(:ids AS text[])) OR label = ANY(CAST(:labels AS integer[])))
""")
_REMOVE_EMPTY = text("""
    DELETE FROM people WHERE user_id = :user_id AND merged_into IS NULL
    AND name IS NULL AND NOT hidden AND birth_date IS NULL
    AND NOT EXISTS (SELECT FROM people_faces WHERE person_id = people.id)
    AND NOT EXISTS (SELECT FROM people_moves WHERE from_id = people.id OR to_id = people.id)
    AND NOT EXISTS (SELECT FROM people AS absorbed WHERE absorbed.merged_into = people.id)
""")


@dataclass(frozen=True, slots=True)
class PeopleState:
    """State of a user's people."""

    revision: int
    """Number of what the user said: grows with every correction."""
    grouped: int | None
    """`revision` that the last grouping was of; None: there was none."""
    grouped_at: datetime | None
    """Time of that grouping."""


async def load_state(session: AsyncSession, user_id: str) -> PeopleState | None:
    """Load the state of a user's people; None: the user is gone."""
    row = (await session.execute(_STATE, {"user_id": user_id})).one_or_none()
    return None if row is None else PeopleState(*row)


async def lock(session: AsyncSession, user_id: str) -> PeopleState | None:
    """Let no other transaction change the user's people until this one ends. -> their state, None: the user is gone"""
    row = (await session.execute(_LOCK, {"user_id": user_id})).one_or_none()
    return None if row is None else PeopleState(*row)


async def bump(session: AsyncSession, user_id: str) -> None:
    """Note that the user said something of people: what was worked out before is not saved any more."""
    await session.execute(_BUMP, {"user_id": user_id})


async def load_contents(session: AsyncSession, user_id: str) -> Contents:
    """Load the file contents of a user's images."""
    rows = (await session.execute(_CONTENTS, {"user_id": user_id})).all()
    return Contents([row.sha256 for row in rows], [row.width for row in rows], [row.height for row in rows])


async def has_new_faces(session: AsyncSession, user_id: str, model: str) -> bool:
    """Whether any face of the user's images is not grouped yet, or one of another network is that was replaced."""
    return bool(await session.scalar(_HAS_NEW, {"user_id": user_id, "model": model}))


async def load_grouping(session: AsyncSession, user_id: str) -> Grouping:
    """Load whose the user's faces are."""
    row = (await session.execute(_FACES, {"user_id": user_id})).one()
    people = (await session.execute(_PEOPLE, {"user_id": user_id})).all()
    return Grouping(
        np.array(row.ids or (), np.int64),
        np.array(row.labels or (), np.int64),
        {one.id: one.label for one in people},
        {one.id: one.merged_into for one in people if one.merged_into},
    )


async def load_merged(session: AsyncSession, user_id: str) -> dict[str, str]:
    """Load the people that were found to be others: id -> that one's."""
    return {one.id: one.merged_into for one in await session.execute(_MERGED, {"user_id": user_id})}


async def load_moved_labels(
    session: AsyncSession, user_id: str, model: str, found: StoredFaces, shas: Sequence[str]
) -> Ids | None:
    """Load for each of `found`, the faces of the contents `shas` by `model`, the label of another model's face in the
    same place, `int64[N]`; None where no person has a face of another model there."""
    given = {"user_id": user_id, "model": model, "shas": list(shas)}
    rows = (await session.execute(_OF_OTHER_MODELS, given)).all()
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


async def save(
    session: AsyncSession,
    user_id: str,
    model: str,
    face_ids: Ids,
    clusters: Ids,
    moved: Ids | None = None,
    decided: Sequence[tuple[str, Ids]] = (),
) -> Ids:
    """Make `clusters` (`int64[N]`, -1: nobody's) the user's people. -> their labels, `int64[N]`

    A cluster continues the person with whom it shares the most faces. `moved`: labels to continue where a face has
    none. `decided`: people of whom the user said something, the latest last, each with the places in `face_ids` of the
    faces that it was said of: a person goes where most of these and of its faces are (`settle_labels`). The caller has
    locked the user's people.
    """
    stored = await load_grouping(session, user_id)
    held = stored.labels_of(face_ids)
    previous = held if moved is None else np.where(held == UNKNOWN, moved, held)
    highest = max(stored.people.values(), default=UNASSIGNED)
    result = continue_labels(previous, clusters, highest=highest)
    known = [(root_of(stored.merged, one), places) for one, places in decided if one in stored.people]
    result = settle_labels(result, previous, [(stored.people[one], places) for one, places in known], highest)
    changed = result != held
    fresh = np.setdiff1d(result[result >= 0], np.array(list(stored.people.values()), np.int64))
    if len(fresh):
        ids = [new_id("per") for _ in fresh]
        await session.execute(_ADD, {"user_id": user_id, "ids": ids, "labels": fresh.tolist()})
    if changed.any():
        given = {"user_id": user_id, "faces": face_ids[changed].tolist(), "labels": result[changed].tolist()}
        await session.execute(_ASSIGN, given)
    left = await session.scalars(_REMOVE_GONE, {"user_id": user_id, "model": model})
    touched = np.unique(np.concatenate([result[changed], held[changed]]))
    await touch(session, user_id, [one for one in left if one], touched[touched >= 0].tolist())
    await session.execute(_REMOVE_EMPTY, {"user_id": user_id})
    await session.execute(_GROUPED, {"user_id": user_id})
    return result


async def touch(session: AsyncSession, user_id: str, ids: Sequence[str], labels: Sequence[int] = ()) -> None:
    """Note that people have changed, or whose faces are theirs."""
    given: dict[str, Any] = {"user_id": user_id, "ids": sorted(set(ids)), "labels": list(labels)}
    await session.execute(_TOUCH, given)


@dataclass(frozen=True, slots=True)
class Description:
    """What a user says of a person."""

    name: str | None = None
    birth_date: date | None = None
    cover_face_id: int | None = None


_DESCRIBE = text("""
    UPDATE people SET name = :name, birth_date = CAST(:birth_date AS date), cover_face_id = :cover_face_id
    WHERE user_id = :user_id AND id = :id
""")
_COVER = text("""
    UPDATE people SET cover_face_id = face_id, revision = revision + 1
    FROM unnest(CAST(:ids AS text[]), CAST(:faces AS bigint[])) AS chosen (person_id, face_id)
    WHERE id = person_id AND user_id = :user_id AND cover_face_id IS DISTINCT FROM face_id
    AND EXISTS (SELECT FROM faces WHERE faces.id = face_id)
""")
_HIDE = text("UPDATE people SET hidden = :hidden WHERE user_id = :user_id AND id = :id")
_NEW = text("""
    INSERT INTO people (id, user_id, label)
    SELECT :id, :user_id, coalesce(max(label), -1) + 1 FROM people WHERE user_id = :user_id
""")
_MERGE = text("UPDATE people SET merged_into = :into WHERE user_id = :user_id AND id = ANY(CAST(:ids AS text[]))")


async def describe(session: AsyncSession, user_id: str, person_id: str, description: Description) -> None:
    """Set what a user says of a person. The caller touches it."""
    given = {
        "user_id": user_id,
        "id": person_id,
        "name": description.name,
        "birth_date": description.birth_date,
        "cover_face_id": description.cover_face_id,
    }
    await session.execute(_DESCRIBE, given)


async def set_covers(session: AsyncSession, user_id: str, covers: Mapping[str, int]) -> None:
    """Show people by faces that the user chose, after these came back: person -> face."""
    given = {"user_id": user_id, "ids": list(covers), "faces": list(covers.values())}
    await session.execute(_COVER, given)


async def hide(session: AsyncSession, user_id: str, person_id: str, *, hidden: bool) -> None:
    """Hide a person, or show it again. The caller touches it."""
    await session.execute(_HIDE, {"user_id": user_id, "id": person_id, "hidden": hidden})


async def add(session: AsyncSession, user_id: str) -> str:
    """Add a person without a face. -> its id"""
    person_id = new_id("per")
    await session.execute(_NEW, {"user_id": user_id, "id": person_id})
    return person_id


async def merge(session: AsyncSession, user_id: str, ids: Sequence[str], into: str | None) -> None:
    """Note that people are another one; with None, that they are themselves again."""
    await session.execute(_MERGE, {"user_id": user_id, "ids": list(ids), "into": into})
