"""Webhooks of users: who is told of what, how far they were told, and when to try next.

A claim is a lease: whoever claims a webhook tells it of what is new, and records how that ended. What a crashed
claimer began is sent again when its lease has run out, so that each event is told at least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Conflict
from serve_app.store.ids import new_id
from serve_app.store.models import WebhookRow
from serve_app.store.repositories.events import CHANNEL, EventKind, Position

CHANGED = "webhooks"
"""Notice on the channel of events that there are other webhooks than before."""


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A webhook's row."""

    id: str
    user_id: str
    url: str
    kinds: list[EventKind]
    secret: str
    transaction: int
    event_id: int
    failures: int
    failing_since: datetime | None
    last_failure: str | None
    delivered_at: datetime | None
    disabled_at: datetime | None
    created_at: datetime

    @property
    def position(self) -> Position:
        """The position after which it goes on."""
        return Position(self.transaction, self.event_id)


_COLUMNS = (
    WebhookRow.id,
    WebhookRow.user_id,
    WebhookRow.url,
    WebhookRow.kinds,
    WebhookRow.secret,
    WebhookRow.transaction,
    WebhookRow.event_id,
    WebhookRow.failures,
    WebhookRow.failing_since,
    WebhookRow.last_failure,
    WebhookRow.delivered_at,
    WebhookRow.disabled_at,
    WebhookRow.created_at,
)
_HAS_NEWS = """
    hook.disabled_at IS NULL AND EXISTS (
        SELECT FROM events WHERE events.user_id = hook.user_id AND events.kind = ANY(hook.kinds)
        AND (events.transaction, events.id) > (hook.transaction, hook.event_id)
    )
"""
_DUE = text(f"""
    SELECT id FROM webhooks AS hook
    WHERE next_try_at <= clock_timestamp() AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND {_HAS_NEWS}
    ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")  # noqa: S608 (our own names)
_NEXT_DUE = text(f"""
    SELECT extract(epoch FROM min(greatest(next_try_at, lease_until)) - clock_timestamp())
    FROM webhooks AS hook WHERE {_HAS_NEWS}
""")  # noqa: S608 (our own names)
_NOTIFY = text("SELECT pg_notify(:channel, :notice)")


async def add(
    session: AsyncSession, user_id: str, url: str, kinds: Sequence[EventKind], secret: str, begin: Position, most: int
) -> StoredWebhook:
    """Add a webhook that is told of what comes after `begin`. Raises `Conflict` where the user has `most` of them."""
    await session.execute(text("SELECT FROM users WHERE id = :id FOR NO KEY UPDATE"), {"id": user_id})
    if len(await load_all(session, user_id)) >= most:
        raise Conflict(f"You have {most} webhooks, as many as a user may: delete one first.")
    row = {
        "id": new_id("whk"),
        "user_id": user_id,
        "url": url,
        "kinds": list(kinds),
        "secret": secret,
        "transaction": begin.transaction,
        "event_id": begin.event_id,
    }
    made = (await session.execute(insert(WebhookRow).values(row).returning(*_COLUMNS))).one()
    await _tell(session)
    return _hook(made)


async def load_all(session: AsyncSession, user_id: str) -> list[StoredWebhook]:
    """Load the user's webhooks, the oldest first."""
    own = select(*_COLUMNS).where(WebhookRow.user_id == user_id).order_by(WebhookRow.id)
    return [_hook(row) for row in await session.execute(own)]


async def get(session: AsyncSession, user_id: str, webhook_id: str) -> StoredWebhook | None:
    """Get a webhook of the user's."""
    one = select(*_COLUMNS).where(WebhookRow.id == webhook_id, WebhookRow.user_id == user_id)
    found = (await session.execute(one)).one_or_none()
    return None if found is None else _hook(found)


async def enable(session: AsyncSession, user_id: str, webhook_id: str) -> StoredWebhook | None:
    """Try a webhook again at once, also one that was given up. None: it is not the user's."""
    statement = (
        update(WebhookRow)
        .where(WebhookRow.id == webhook_id, WebhookRow.user_id == user_id)
        .values(disabled_at=None, failing_since=None, failures=0, next_try_at=func.clock_timestamp())
    )
    found = (await session.execute(statement.returning(*_COLUMNS))).one_or_none()
    await _tell(session)
    return None if found is None else _hook(found)


async def disable_all(session: AsyncSession, user_id: str, reason: str) -> None:
    """Give up the user's webhooks, until the user enables them."""
    statement = update(WebhookRow).where(WebhookRow.user_id == user_id, WebhookRow.disabled_at.is_(None))
    await session.execute(statement.values(disabled_at=func.clock_timestamp(), last_failure=reason))


async def remove(session: AsyncSession, user_id: str, webhook_id: str) -> bool:
    """Delete a webhook. False: it is not the user's."""
    gone = delete(WebhookRow).where(WebhookRow.id == webhook_id, WebhookRow.user_id == user_id)
    return await session.scalar(gone.returning(WebhookRow.id)) is not None


async def load_hooked_users(session: AsyncSession) -> set[str]:
    """Load the ids of users with webhooks that have not been given up."""
    return set(await session.scalars(select(WebhookRow.user_id).where(WebhookRow.disabled_at.is_(None)).distinct()))


async def claim_due(session: AsyncSession, lease_s: float) -> StoredWebhook | None:
    """Claim the webhook that has waited longest for what is new; None: none is due."""
    due = await session.scalar(_DUE)
    if due is None:
        return None
    until = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)
    statement = update(WebhookRow).where(WebhookRow.id == due).values(lease_until=until)
    return _hook((await session.execute(statement.returning(*_COLUMNS))).one())


async def seconds_until_due(session: AsyncSession) -> float | None:
    """Compute the seconds until a webhook with news is due; None: there is none."""
    seconds = await session.scalar(_NEXT_DUE)
    return None if seconds is None else max(0.0, float(seconds))


async def record_success(session: AsyncSession, hook: StoredWebhook, end: Position, pause_s: float) -> None:
    """Record that a claimed webhook was told of all up to `end`; it is told of more after a pause."""
    values = {"failures": 0, "failing_since": None, "last_failure": None, "delivered_at": func.clock_timestamp()}
    await _end(session, hook, pause_s, transaction=end.transaction, event_id=end.event_id, **values)


async def record_wait(session: AsyncSession, hook: StoredWebhook, end: Position, pause_s: float) -> None:
    """Record that there was nothing to tell up to `end`."""
    await _end(session, hook, pause_s, transaction=end.transaction, event_id=end.event_id)


async def record_failure(
    session: AsyncSession, hook: StoredWebhook, reason: str, pause_s: float, *, is_last: bool
) -> None:
    """Record that a claimed webhook could not be told. `is_last`: it is given up."""
    await _end(
        session,
        hook,
        pause_s,
        failures=WebhookRow.failures + 1,
        failing_since=func.coalesce(WebhookRow.failing_since, func.clock_timestamp()),
        last_failure=reason,
        disabled_at=func.clock_timestamp() if is_last else None,
    )


def _hook(row: Any) -> StoredWebhook:
    return StoredWebhook(*row)


async def _end(session: AsyncSession, hook: StoredWebhook, pause_s: float, **values: Any) -> None:
    due = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, pause_s)
    at = (WebhookRow.transaction == hook.transaction) & (WebhookRow.event_id == hook.event_id)
    statement = update(WebhookRow).where(WebhookRow.id == hook.id, at)  # not where another claimer got further
    await session.execute(statement.values(lease_until=None, next_try_at=due, **values))


async def _tell(session: AsyncSession) -> None:
    await session.execute(_NOTIFY, {"channel": CHANNEL, "notice": CHANGED})
