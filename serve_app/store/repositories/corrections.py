"""Decisions of users, kept by file content and place: added and taken back, never changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.ids import new_id

CorrectionKind = Literal["must", "cannot", "name", "hide", "not_duplicate", "tag", "resolve"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What a correction is about: a file content, or a face in it."""

    sha256: str
    box: Box | None = None
    """`(x1, y1, x2, y2)` as shares of width and height of the upright image; None: the whole image."""


@dataclass(frozen=True, slots=True)
class NewCorrection:
    """Something that a user says."""

    kind: CorrectionKind
    a: Place
    b: Place | None = None
    value: dict[str, Any] = field(default_factory=dict)
    """JSON that says more of it."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Something that a user said."""

    id: str
    action_id: str
    """Id of the first correction of the same action."""
    kind: CorrectionKind
    a: Place
    b: Place | None
    value: dict[str, Any]
    via: str
    made_at: datetime
    undone_at: datetime | None


_COLUMNS = "id, action_id, kind, a_sha256, a_box, b_sha256, b_box, value, via, made_at, undone_at"
_ADD = text("""
    INSERT INTO corrections (id, action_id, user_id, kind, a_sha256, a_box, b_sha256, b_box, value, via)
    SELECT item ->> 'id', :action_id, :user_id, item ->> 'kind', item ->> 'a_sha256',
        nullif(CAST(ARRAY(SELECT jsonb_array_elements_text(item -> 'a_box')) AS real[]), '{}'),
        item ->> 'b_sha256',
        nullif(CAST(ARRAY(SELECT jsonb_array_elements_text(item -> 'b_box')) AS real[]), '{}'),
        item -> 'value', :via
    FROM jsonb_array_elements(CAST(:items AS jsonb)) AS item
""")
_STANDS = "AND user_id = :user_id AND undone_at IS NULL"
_BOUND = f"""
    SELECT following.sha FROM {{reached}} CROSS JOIN LATERAL (
        SELECT b_sha256 AS sha FROM corrections WHERE a_sha256 = {{reached}}.sha AND kind = 'must' {_STANDS}
        UNION ALL
        SELECT a_sha256 FROM corrections WHERE b_sha256 = {{reached}}.sha AND kind = 'must' {_STANDS}
    ) AS following
"""  # noqa: S608
_PAGE = text(f"""
    SELECT {_COLUMNS} FROM corrections
    WHERE user_id = :user_id
    AND (CAST(:kind AS text) IS NULL OR kind = :kind)
    AND (CAST(:after AS text) IS NULL OR id < :after)
    ORDER BY id DESC LIMIT :limit
""")  # noqa: S608 (our own names)
_STANDING = text(f"""
    SELECT {_COLUMNS} FROM corrections
    WHERE user_id = :user_id AND kind = ANY(CAST(:kinds AS text[])) AND undone_at IS NULL ORDER BY id
""")  # noqa: S608
_UNDONE = text(f"""
    SELECT {_COLUMNS} FROM corrections
    WHERE user_id = :user_id AND kind = ANY(CAST(:kinds AS text[])) AND undone_at IS NOT NULL
    AND (CAST(:since AS timestamptz) IS NULL OR undone_at > :since) ORDER BY id
""")  # noqa: S608
_OF_ACTION = text(f"""
    SELECT {_COLUMNS} FROM corrections WHERE user_id = :user_id AND action_id = :action_id ORDER BY id
""")  # noqa: S608
_SAID_OF = text("""
    SELECT DISTINCT ON (said.key) said.key, said.value FROM corrections, jsonb_each(corrections.value) AS said
    WHERE user_id = :user_id AND kind IN ('name', 'hide') AND undone_at IS NULL
    AND corrections.value ->> 'person' = :person AND said.key <> 'person'
    ORDER BY said.key, id DESC
""")
_LINKS_ABOUT = text(f"""
    WITH RECURSIVE bound (sha) AS (
        SELECT unnest(CAST(:shas AS text[])) COLLATE "C"
        UNION {_BOUND.format(reached="bound")}
    ), border (sha) AS (
        SELECT sha FROM bound
        UNION SELECT b_sha256 FROM bound JOIN corrections ON a_sha256 = sha AND kind = 'cannot' {_STANDS}
        UNION SELECT a_sha256 FROM bound JOIN corrections ON b_sha256 = sha AND kind = 'cannot' {_STANDS}
    ), reached (sha) AS (
        SELECT sha FROM border
        UNION {_BOUND.format(reached="reached")}
    )
    SELECT {_COLUMNS} FROM corrections WHERE kind IN ('must', 'cannot') {_STANDS}
    AND a_sha256 IN (SELECT sha FROM reached) AND b_sha256 IN (SELECT sha FROM reached) ORDER BY id
""")  # noqa: S608
_COUNT = text("""
    SELECT count(*) FROM corrections WHERE user_id = :user_id AND kind IN ('must', 'cannot') AND undone_at IS NULL
""")
_PLACES = text("""
    SELECT a_sha256, a_box FROM corrections
    WHERE user_id = :user_id AND kind IN ('name', 'hide') AND undone_at IS NULL AND value ->> 'person' = :person
    ORDER BY id DESC LIMIT :limit
""")
_LAST = text("""
    SELECT action_id FROM corrections WHERE user_id = :user_id AND undone_at IS NULL ORDER BY id DESC LIMIT 1
""")
_ACTION_OF = text("SELECT action_id FROM corrections WHERE user_id = :user_id AND id = :id")
_UNDO = text(f"""
    UPDATE corrections SET undone_at = clock_timestamp()
    WHERE action_id = :action_id AND undone_at IS NULL RETURNING {_COLUMNS}
""")  # noqa: S608
_LOCK = text("SELECT id FROM users WHERE id = :user_id FOR NO KEY UPDATE")


async def lock(session: AsyncSession, user_id: str) -> None:
    """Let no other transaction decide for this user until this one ends."""
    await session.execute(_LOCK, {"user_id": user_id})


async def add(session: AsyncSession, user_id: str, new: Sequence[NewCorrection], via: str) -> list[Correction]:
    """Add the corrections of one action. -> as stored, the action's id is that of the first"""
    ids = sorted(new_id("cor") for _ in new)
    items = [
        {
            "id": one_id,
            "kind": one.kind,
            "a_sha256": one.a.sha256,
            "a_box": list(one.a.box or ()),
            "b_sha256": one.b and one.b.sha256,
            "b_box": list((one.b and one.b.box) or ()),
            "value": one.value,
        }
        for one_id, one in zip(ids, new, strict=True)
    ]
    await session.execute(_ADD, {"action_id": ids[0], "user_id": user_id, "via": via, "items": json.dumps(items)})
    return await load_action(session, user_id, ids[0])


async def load_action(session: AsyncSession, user_id: str, action_id: str) -> list[Correction]:
    """Load the corrections of an action in their order."""
    given = {"user_id": user_id, "action_id": action_id}
    return [_correction(row) for row in await session.execute(_OF_ACTION, given)]


async def load_page(
    session: AsyncSession, user_id: str, limit: int, cursor: str | None = None, kind: CorrectionKind | None = None
) -> list[Correction]:
    """Load a page of a user's corrections, those that were taken back too, the newest first."""
    given = {"user_id": user_id, "kind": kind, "after": cursor, "limit": limit}
    return [_correction(row) for row in await session.execute(_PAGE, given)]


async def load_standing(session: AsyncSession, user_id: str, kinds: Sequence[CorrectionKind]) -> list[Correction]:
    """Load a user's corrections of some kinds that were not taken back, the oldest first."""
    return [_correction(row) for row in await session.execute(_STANDING, {"user_id": user_id, "kinds": list(kinds)})]


async def load_undone(
    session: AsyncSession, user_id: str, kinds: Sequence[CorrectionKind], since: datetime | None
) -> list[Correction]:
    """Load a user's corrections of some kinds that were taken back after a time, None: at all, the oldest first."""
    given = {"user_id": user_id, "kinds": list(kinds), "since": since}
    return [_correction(row) for row in await session.execute(_UNDONE, given)]


async def load_links_about(session: AsyncSession, user_id: str, shas: Sequence[str]) -> list[Correction]:
    """Load the links that have to do with faces of contents, the oldest first: of what is bound to them, of what these
    are parted from, and of what is bound to that."""
    rows = await session.execute(_LINKS_ABOUT, {"user_id": user_id, "shas": sorted(set(shas))})
    return [_correction(row) for row in rows]


async def count_links(session: AsyncSession, user_id: str) -> int:
    """Count a user's links that stand."""
    return int(await session.scalar(_COUNT, {"user_id": user_id}) or 0)


async def load_said_of(session: AsyncSession, user_id: str, person_id: str) -> dict[str, Any]:
    """Load what is said of a person, each thing as it was said last: `name`, `birth_date`, `cover`, `hidden`."""
    rows = await session.execute(_SAID_OF, {"user_id": user_id, "person": person_id})
    return {row.key: row.value for row in rows}


async def load_places(session: AsyncSession, user_id: str, person_id: str, limit: int) -> list[Place]:
    """Load the faces by which a person was known when something was said of it last."""
    rows = await session.execute(_PLACES, {"user_id": user_id, "person": person_id, "limit": limit})
    return list(dict.fromkeys(_place(row.a_sha256, row.a_box) for row in rows))


async def find_action(session: AsyncSession, user_id: str, correction_id: str) -> str | None:
    """Find the action that a user's correction belongs to. -> its id"""
    found: str | None = await session.scalar(_ACTION_OF, {"user_id": user_id, "id": correction_id})
    return found


async def find_last_action(session: AsyncSession, user_id: str) -> str | None:
    """Find the user's last action that was not taken back. -> its id"""
    found: str | None = await session.scalar(_LAST, {"user_id": user_id})
    return found


async def undo(session: AsyncSession, action_id: str) -> list[Correction]:
    """Mark the corrections of an action as taken back. -> those that were not yet, in their order"""
    rows = (await session.execute(_UNDO, {"action_id": action_id})).all()
    return sorted((_correction(row) for row in rows), key=lambda one: one.id)


def _correction(row: Any) -> Correction:
    return Correction(
        id=row.id,
        action_id=row.action_id,
        kind=row.kind,
        a=_place(row.a_sha256, row.a_box),
        b=None if row.b_sha256 is None else _place(row.b_sha256, row.b_box),
        value=row.value,
        via=row.via,
        made_at=row.made_at,
        undone_at=row.undone_at,
    )


def _place(sha256: str, box: Sequence[float] | None) -> Place:
    return Place(sha256, None if box is None else (box[0], box[1], box[2], box[3]))
