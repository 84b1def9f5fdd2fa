"""Outbox of what changed for users, from which streams and webhooks read on where they stopped.

Triggers write it in the transaction of the change. A position is a transaction's number and an event's id. Only events
of transactions before the oldest that still runs are read: a later position can then never be followed by an earlier
one, so that whoever goes on after the last position that was read misses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import InvalidRequest

EventKind = Literal["job", "album", "image", "duplicate", "person"]
CHANNEL = "darkroom_events"
"""Channel of the notifications; each names a user for whom something changed."""
_POSITION = re.compile(r"(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Place in the order of all events."""

    transaction: int
    event_id: int

    def __str__(self) -> str:
        return f"{self.transaction}-{self.event_id}"

    @classmethod
    def parse(cls, given: str) -> Self:
        """Read a position as `str` writes it. Raises `InvalidRequest`."""
        found = _POSITION.fullmatch(given)
        if found is None:
            raise InvalidRequest("The id is none of an event of this server", extra={"parameter": "Last-Event-ID"})
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Event:
    """Note that something changed."""

    position: Position
    kind: EventKind
    subject_id: str
    album_id: str | None
    """Our id of the album that it is about."""
    is_gone: bool


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a position."""

    events: Sequence[Event]
    is_settled: bool
    """Whether that is all there is now; otherwise there are more, or some of a transaction that has not been passed."""


_HORIZON = "(pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"
_NOT_YET = "(pg_snapshot_xmax(pg_current_snapshot())::text)::bigint"
_AFTER = """
    user_id = :user_id AND (transaction, id) > (:transaction, :event_id)
    AND (CAST(:album_id AS text) IS NULL OR album_id = :album_id)
    AND (CAST(:kinds AS text[]) IS NULL OR kind = ANY(CAST(:kinds AS text[])))
"""
_READ = text(f"""
    SELECT transaction, id, kind, subject_id, album_id, is_gone, transaction < {_HORIZON} AS is_over
    FROM events WHERE {_AFTER} ORDER BY transaction, id LIMIT :most
""")  # noqa: S608 (our own names)
_NOW = text(f"SELECT {_HORIZON}")
_MISSED = text("""
    SELECT EXISTS (
        SELECT FROM event_floors
        WHERE user_id = :user_id AND (transaction, event_id) > (:transaction, :after_id)
        AND (CAST(:kinds AS text[]) IS NULL OR kind = ANY(CAST(:kinds AS text[])))
    )
""")
_REMOVE = text("""
    WITH old AS (
        SELECT id FROM events WHERE created_at < now() - make_interval(secs => :age_s)
        UNION
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY transaction DESC, id DESC) AS place
            FROM events WHERE user_id IN (SELECT user_id FROM events GROUP BY user_id HAVING count(*) > :most)
        ) AS ranked WHERE place > :most
        LIMIT :limit
    ), gone AS (
        DELETE FROM events WHERE id IN (SELECT id FROM old) RETURNING user_id, kind, transaction, id
    ), last AS (
        SELECT DISTINCT ON (user_id, kind) user_id, kind, transaction, id FROM gone
        ORDER BY user_id, kind, transaction DESC, id DESC
    ), kept AS (
        INSERT INTO event_floors AS floor (user_id, kind, transaction, event_id)
        SELECT user_id, kind, transaction, id FROM last
        ON CONFLICT (user_id, kind) DO UPDATE SET transaction = excluded.transaction, event_id = excluded.event_id
        WHERE (floor.transaction, floor.event_id) < (excluded.transaction, excluded.event_id)
    )
    SELECT count(*) FROM gone
""")


_FOREIGN = tuple(
    text(statement)
    for statement in (
        # Of numbers that this server has not given out yet: what a dump brought along from another one.
        f"UPDATE event_floors SET transaction = {_HORIZON}, event_id = 0 WHERE transaction >= {_NOT_YET}",  # noqa: S608
        f"UPDATE webhooks SET transaction = {_HORIZON}, event_id = 0 WHERE transaction > {_NOT_YET}",  # noqa: S608
        f"""
        WITH foreign_ones AS (DELETE FROM events WHERE transaction >= {_NOT_YET} RETURNING user_id, kind)
        INSERT INTO event_floors AS floor (user_id, kind, transaction, event_id)
        SELECT DISTINCT user_id, kind, {_HORIZON}, 0 FROM foreign_ones
        ON CONFLICT (user_id, kind) DO UPDATE SET transaction = excluded.transaction, event_id = 0
        WHERE floor.transaction < excluded.transaction
        """,  # noqa: S608 (our own names)
    )
)


async def load_now(session: AsyncSession) -> Position:
    """Load the position that all events to come lie after."""
    return Position(int(await session.scalar(_NOW)), 0)


async def load_after(
    session: AsyncSession,
    user_id: str,
    after: Position,
    *,
    album_id: str | None = None,
    kinds: Sequence[EventKind] | None = None,
    limit: int = 200,
) -> EventPage:
    """Load the user's events after a position; with `album_id` only those about that album, with `kinds` of these."""
    given = {
        "user_id": user_id,
        "transaction": after.transaction,
        "event_id": after.event_id,
        "album_id": album_id,
        "kinds": None if kinds is None else list(kinds),
        "most": limit,
    }
    rows = (await session.execute(_READ, given)).all()
    over: list[Event] = []
    for row in rows:
        if not row.is_over:
            return EventPage(over, is_settled=False)
        over.append(Event(Position(row.transaction, row.id), row.kind, row.subject_id, row.album_id, row.is_gone))
    return EventPage(over, is_settled=len(rows) < limit)


async def has_missed(
    session: AsyncSession, user_id: str, after: Position, kinds: Sequence[EventKind] | None = None
) -> bool:
    """Whether events after the position were removed, with `kinds` any of these."""
    given = {
        "user_id": user_id,
        "transaction": after.transaction,
        "after_id": after.event_id,
        "kinds": None if kinds is None else list(kinds),
    }
    return bool(await session.scalar(_MISSED, given))


async def forget_foreign(session: AsyncSession) -> None:
    """Forget positions of another database server, which a restored dump brings along: the numbers of transactions
    begin anew there. Streams and webhooks from before are told to read everything anew."""
    for statement in _FOREIGN:
        await session.execute(statement)


async def remove_older(session: AsyncSession, age_s: float, most: int, limit: int = 5000) -> int:
    """Remove events of that age, and of each user all but the newest `most`. -> how many"""
    return int(await session.scalar(_REMOVE, {"age_s": age_s, "most": most, "limit": limit}) or 0)
