"""People of users as lists."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class LibraryPerson:
    """A person of a user's, with what is seen of it now."""

    id: str
    name: str | None
    hidden: bool
    birth_date: date | None
    size: int
    """Number of faces when they last changed: what lists are sorted by."""
    revision: int
    merged_into: str | None
    updated_at: datetime
    face_count: int
    image_count: int
    cover_face_id: int | None
    """The face that the user chose, else the best one; None: none is to be seen."""


@dataclass(frozen=True, slots=True)
class PeopleFilters:
    """Which people; None: whether or not."""

    album_id: str | None = None
    """Our id: only who is in this album, with the faces in it."""
    named: bool | None = None
    hidden: bool | None = False


_SELECT = """
    SELECT people.id, name, hidden, birth_date, size, revision, merged_into, people.updated_at,
        seen.faces, seen.images, seen.cover
    FROM people CROSS JOIN LATERAL (
        SELECT count(DISTINCT faces.id) AS faces, count(DISTINCT images.id) AS images,
            (array_agg(faces.id ORDER BY faces.id = people.cover_face_id DESC NULLS LAST, faces.quality DESC, faces.id)
            )[1] AS cover
        FROM people_faces JOIN faces ON faces.id = face_id
        JOIN images ON images.sha256 = faces.sha256 AND images.user_id = :user_id
        WHERE person_id = people.id AND NOT temporary AND trashed_at IS NULL
        AND (CAST(:album_id AS text) IS NULL OR EXISTS (
            SELECT FROM album_images WHERE album_images.image_id = images.id AND album_images.album_id = :album_id
        ))
    ) AS seen
    WHERE people.user_id = :user_id
"""
_PAGE = text(f"""
    {_SELECT} AND merged_into IS NULL AND seen.faces > 0
    AND (CAST(:named AS boolean) IS NULL OR (name IS NOT NULL) = :named)
    AND (CAST(:hidden AS boolean) IS NULL OR hidden = :hidden)
    AND (CAST(:after AS text) IS NULL OR size < :size OR size = :size AND people.id > :after)
    ORDER BY size DESC, people.id LIMIT :limit
""")
_GET = text(f"{_SELECT} AND people.id = :id")
_NAMES = text("""
    SELECT id, name FROM people WHERE user_id = :user_id AND name IS NOT NULL AND merged_into IS NULL AND NOT hidden
    ORDER BY size DESC, id LIMIT :limit
""")
_NAMES_OF = text("""
    SELECT id, name FROM people WHERE user_id = :user_id AND name IS NOT NULL AND id = ANY(CAST(:ids AS text[]))
""")
_IMAGES = text("""
    SELECT DISTINCT person_id, images.id AS image_id FROM people_faces JOIN faces ON faces.id = face_id
    JOIN images ON images.sha256 = faces.sha256 AND images.user_id = :user_id
    WHERE people_faces.user_id = :user_id AND person_id = ANY(CAST(:ids AS text[]))
    AND NOT temporary AND trashed_at IS NULL
""")
MOST_NAMES = 10_000
"""People whose names are searched: those with the most faces."""


async def load_page(
    session: AsyncSession, user_id: str, filters: PeopleFilters, limit: int, after: tuple[int, str] | None = None
) -> list[LibraryPerson]:
    """Load a page of the people who are to be seen, those with the most faces first, those after a size and an id."""
    given = {
        "user_id": user_id,
        "album_id": filters.album_id,
        "named": filters.named,
        "hidden": filters.hidden,
        "size": after[0] if after else 0,
        "after": after[1] if after else None,
        "limit": limit,
    }
    return [_person(row) for row in await session.execute(_PAGE, given)]


async def get(session: AsyncSession, user_id: str, person_id: str) -> LibraryPerson | None:
    """Load a person, also one that was found to be another."""
    given = {"user_id": user_id, "album_id": None, "id": person_id}
    row = (await session.execute(_GET, given)).one_or_none()
    return None if row is None else _person(row)


async def load_names(session: AsyncSession, user_id: str) -> dict[str, str]:
    """Load the names of the people who are not hidden, those with the most faces first. -> by id"""
    rows = await session.execute(_NAMES, {"user_id": user_id, "limit": MOST_NAMES})
    return {row.id: row.name for row in rows}


async def load_names_of(session: AsyncSession, user_id: str, ids: Collection[str]) -> dict[str, str]:
    """Load the names of some people, hidden ones too. -> by id, without those who have none"""
    if not ids:
        return {}
    return {row.id: row.name for row in await session.execute(_NAMES_OF, {"user_id": user_id, "ids": list(ids)})}


async def find_images(session: AsyncSession, user_id: str, ids: Collection[str]) -> dict[str, set[str]]:
    """Find the images, but those in the trash, that show people. -> ids of images by id of the person"""
    found: dict[str, set[str]] = {person: set() for person in ids}
    if ids:
        for row in await session.execute(_IMAGES, {"user_id": user_id, "ids": list(ids)}):
            found[row.person_id].add(row.image_id)
    return found


def _person(row: Any) -> LibraryPerson:
    return LibraryPerson(
        id=row.id,
        name=row.name,
        hidden=row.hidden,
        birth_date=row.birth_date,
        size=row.size,
        revision=row.revision,
        merged_into=row.merged_into,
        updated_at=row.updated_at,
        face_count=row.faces,
        image_count=row.images,
        cover_face_id=row.cover,
    )
