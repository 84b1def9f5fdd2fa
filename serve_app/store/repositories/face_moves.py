"""Faces that corrections move from one person to another, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.repositories import people

_NOTE = text("""
    INSERT INTO people_moves (action_id, face_id, user_id, from_id, to_id)
    SELECT :action_id, moved.face_id, :user_id, person_id, CAST(:to_id AS text)
    FROM unnest(CAST(:faces AS bigint[])) AS moved (face_id)
    LEFT JOIN people_faces ON people_faces.user_id = :user_id AND people_faces.face_id = moved.face_id
    WHERE EXISTS (SELECT FROM faces WHERE faces.id = moved.face_id)
    ON CONFLICT (action_id, face_id) DO UPDATE SET to_id = excluded.to_id
    RETURNING from_id
""")
_MOVE = text("""
    INSERT INTO people_faces (user_id, face_id, person_id)
    SELECT :user_id, id, CAST(:to_id AS text) FROM faces WHERE id = ANY(CAST(:faces AS bigint[])) AND EXISTS (
        SELECT FROM images WHERE images.sha256 = faces.sha256 AND images.user_id = :user_id AND NOT temporary
    )
    ON CONFLICT (user_id, face_id) DO UPDATE SET person_id = excluded.person_id
""")
_OF_PEOPLE = text("""
    SELECT face_id FROM people_faces WHERE user_id = :user_id AND person_id = ANY(CAST(:ids AS text[])) ORDER BY face_id
""")
_MOVES = text("""
    SELECT people_moves.face_id, from_id, to_id, person_id FROM people_moves
    LEFT JOIN people_faces ON people_faces.user_id = :user_id AND people_faces.face_id = people_moves.face_id
    WHERE action_id = :action_id AND people_moves.user_id = :user_id ORDER BY people_moves.face_id
""")


async def move(session: AsyncSession, user_id: str, action_id: str, faces: Sequence[int], to_id: str | None) -> None:
    """Give faces to a person, or to nobody, and note where they come from."""
    given = {"user_id": user_id, "action_id": action_id, "faces": list(faces), "to_id": to_id}
    before = {one for one in await session.scalars(_NOTE, given) if one}
    await put(session, user_id, faces, to_id)
    await people.touch(session, user_id, [*before, *([to_id] if to_id else [])])


async def put(session: AsyncSession, user_id: str, faces: Sequence[int], to_id: str | None) -> None:
    """Give faces to a person, or to nobody, for good. The caller touches the people."""
    await session.execute(_MOVE, {"user_id": user_id, "faces": list(faces), "to_id": to_id})


async def faces_of(session: AsyncSession, user_id: str, ids: Sequence[str]) -> list[int]:
    """Load the ids of all faces of people."""
    return list(await session.scalars(_OF_PEOPLE, {"user_id": user_id, "ids": list(ids)}))


async def take_back(session: AsyncSession, user_id: str, action_id: str) -> list[int]:
    """Give the faces that an action moved back to whom they were of. -> their ids

    A face that has come to somebody else since stays there; people that were found to be others since are these.
    """
    merged = await people.load_merged(session, user_id)
    back: dict[str | None, list[int]] = defaultdict(list)
    touched: set[str] = set()
    for row in await session.execute(_MOVES, {"user_id": user_id, "action_id": action_id}):
        moved_to = row.to_id and people.root_of(merged, row.to_id)
        if row.person_id == moved_to:
            origin = row.from_id and people.root_of(merged, row.from_id)
            back[origin].append(row.face_id)
            touched |= {one for one in (origin, moved_to) if one}
    for origin, faces in back.items():
        await put(session, user_id, faces, origin)
    await people.touch(session, user_id, sorted(touched))
    return [face for faces in back.values() for face in faces]
