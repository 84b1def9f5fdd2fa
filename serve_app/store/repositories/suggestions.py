"""Questions to users about whom faces show, made whenever their people are grouped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.algorithms.people.questions import Question


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A question that stands."""

    id: str
    kind: Literal["same", "is"]
    face_id: int
    other_id: int
    person_id: str | None
    """The person of `face_id` now; None: nobody."""
    other_person_id: str | None
    likeness: float


_REMOVE = text("""
    DELETE FROM people_suggestions
    WHERE user_id = :user_id AND skipped_at IS NULL AND NOT id = ANY(CAST(:ids AS text[]))
""")
_ADD = text("""
    INSERT INTO people_suggestions (user_id, id, kind, face_id, other_id, likeness, doubt)
    SELECT :user_id, item ->> 'id', item ->> 'kind', CAST(item ->> 'face' AS bigint), CAST(item ->> 'other' AS bigint),
        CAST(item ->> 'likeness' AS float8), CAST(item ->> 'doubt' AS float8)
    FROM jsonb_array_elements(CAST(:items AS jsonb)) AS item
    WHERE EXISTS (SELECT FROM faces WHERE id = CAST(item ->> 'face' AS bigint))
    AND EXISTS (SELECT FROM faces WHERE id = CAST(item ->> 'other' AS bigint))
    ON CONFLICT (user_id, id) DO UPDATE SET likeness = excluded.likeness, doubt = excluded.doubt
""")
_VISIBLE = """
    EXISTS (
        SELECT FROM faces JOIN images ON images.sha256 = faces.sha256
        WHERE faces.id = {face} AND images.user_id = :user_id AND NOT temporary AND trashed_at IS NULL
    )
"""
_STANDING = f"""
    SELECT asked.id, kind, asked.face_id, other_id, one.person_id, other.person_id AS other_person_id, likeness
    FROM people_suggestions AS asked
    JOIN people_faces AS one ON one.user_id = :user_id AND one.face_id = asked.face_id
    JOIN people_faces AS other ON other.user_id = :user_id AND other.face_id = asked.other_id
    LEFT JOIN people AS hidden_one ON hidden_one.id = one.person_id AND hidden_one.hidden
    LEFT JOIN people AS hidden_other ON hidden_other.id = other.person_id AND hidden_other.hidden
    WHERE asked.user_id = :user_id AND skipped_at IS NULL AND other.person_id IS NOT NULL
    AND hidden_one.id IS NULL AND hidden_other.id IS NULL
    AND (kind = 'is' AND one.person_id = other.person_id OR kind = 'same' AND one.person_id <> other.person_id)
    AND {_VISIBLE.format(face="asked.face_id")} AND {_VISIBLE.format(face="asked.other_id")}
"""  # noqa: S608 (our own names)
_LOAD = text(f"{_STANDING} ORDER BY doubt, asked.id LIMIT :limit")
_FIND = text(f"{_STANDING} AND asked.id = :id")
_SKIP = text("UPDATE people_suggestions SET skipped_at = now() WHERE user_id = :user_id AND id = :id")
_ANSWERED = text("DELETE FROM people_suggestions WHERE user_id = :user_id AND id = :id")


async def replace(
    session: AsyncSession, user_id: str, face_ids: NDArray[np.int64], questions: Sequence[Question]
) -> None:
    """Replace the questions to a user; `face_ids` `int64[N]`: of the faces that they name. One that was skipped stays
    so."""
    items: list[dict[str, Any]] = []
    for one in questions:
        face, other = int(face_ids[one.face]), int(face_ids[one.other])
        digest = hashlib.sha256(f"{one.kind} {face} {other}".encode()).hexdigest()[:26]
        told = {"likeness": round(one.likeness, 4), "doubt": round(one.doubt, 6)}
        items.append({"id": f"sug_{digest}", "kind": one.kind, "face": face, "other": other} | told)
    await session.execute(_REMOVE, {"user_id": user_id, "ids": [one["id"] for one in items]})
    await session.execute(_ADD, {"user_id": user_id, "items": json.dumps(items)})


async def load(session: AsyncSession, user_id: str, limit: int) -> list[Suggestion]:
    """Load the questions that still stand, the least sure first."""
    rows = await session.execute(_LOAD, {"user_id": user_id, "limit": limit})
    return [Suggestion(*row) for row in rows]


async def find(session: AsyncSession, user_id: str, suggestion_id: str) -> Suggestion | None:
    """Find a question that still stands."""
    row = (await session.execute(_FIND, {"user_id": user_id, "id": suggestion_id})).one_or_none()
    return None if row is None else Suggestion(*row)


async def skip(session: AsyncSession, user_id: str, suggestion_id: str) -> None:
    """Ask a question no more."""
    await session.execute(_SKIP, {"user_id": user_id, "id": suggestion_id})


async def remove(session: AsyncSession, user_id: str, suggestion_id: str) -> None:
    """Remove a question that was answered; another grouping may ask it again."""
    await session.execute(_ANSWERED, {"user_id": user_id, "id": suggestion_id})
