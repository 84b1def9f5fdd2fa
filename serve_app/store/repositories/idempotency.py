"""Stored answers of POSTs that carry an `Idempotency-Key`, replayed when one is repeated."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, LargeBinary, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Conflict, InvalidRequest


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that a request was given first."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to answer one key. It lapses when the answer takes so long that another request takes it over."""

    user_id: str
    key: str
    route: str
    token: str


class BeingAnswered(Conflict):
    """Another request with the key is being answered, or its process died a moment ago."""

    renewed_at: datetime | None = None
    """When that request's ticket was last renewed."""


LAPSE_S = 15.0
"""Seconds after which a ticket lapses that its holder does not renew."""

_BEGIN = text("""
    INSERT INTO idempotency_keys AS old (user_id, key, route, token, request_sha256)
    VALUES (:user_id, :key, :route, :token, :request_sha256)
    ON CONFLICT (user_id, key, route) DO UPDATE
    SET token = excluded.token, request_sha256 = excluded.request_sha256, created_at = now(),
        status = NULL, headers = '{}', body = NULL
    WHERE (old.status IS NULL AND old.created_at < now() - make_interval(secs => :stale_after_s))
       OR old.created_at < now() - make_interval(secs => :keep_s)
    RETURNING token
""")
_READ = text("""
    SELECT request_sha256, status, headers, body, created_at FROM idempotency_keys
    WHERE user_id = :user_id AND key = :key AND route = :route
""").columns(request_sha256=Text, status=SmallInteger, headers=JSONB, body=LargeBinary, created_at=DateTime(True))
_RENEW = text("UPDATE idempotency_keys SET created_at = now() WHERE token = ANY(:tokens) AND status IS NULL")
_FINISH = text("""
    UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body
    WHERE user_id = :user_id AND key = :key AND route = :route AND token = :token AND status IS NULL
""")
_ABANDON = text("""
    DELETE FROM idempotency_keys
    WHERE user_id = :user_id AND key = :key AND route = :route AND token = :token AND status IS NULL
""")


async def begin(
    session: AsyncSession,
    user_id: str,
    key: str,
    route: str,
    request_sha256: str,
    *,
    stale_after_s: float = LAPSE_S,
    keep_s: float = 86400.0,
) -> Ticket | StoredAnswer:
    """Get a ticket to answer this request, or the answer that it was given before. Commit before working on it.

    `route` is method and path. An answer that was begun or renewed `stale_after_s` ago and never finished (its process
    was killed) is begun anew, and so is one older than `keep_s`. Raises `BeingAnswered`, and `InvalidRequest` when the
    key was used for another request.
    """
    token = secrets.token_hex(16)
    row = {"user_id": user_id, "key": key, "route": route}
    values: dict[str, Any] = {**row, "token": token, "request_sha256": request_sha256}
    limits = {"stale_after_s": stale_after_s, "keep_s": keep_s}
    if (await session.execute(_BEGIN, {**values, **limits})).one_or_none() is not None:
        return Ticket(user_id, key, route, token)
    first = (await session.execute(_READ, row)).one_or_none()
    if first is not None and first.request_sha256 != request_sha256:
        raise InvalidRequest("This Idempotency-Key was used for another request")
    if first is None:
        return await begin(session, user_id, key, route, request_sha256, stale_after_s=stale_after_s, keep_s=keep_s)
    if first.status is None:
        being_answered = BeingAnswered("The first request with this Idempotency-Key is still being answered")
        being_answered.renewed_at = first.created_at
        raise being_answered
    return StoredAnswer(first.status, first.headers, first.body)


async def renew(session: AsyncSession, tickets: Iterable[Ticket]) -> None:
    """Keep tickets from lapsing that are still being worked for."""
    await session.execute(_RENEW, {"tokens": [ticket.token for ticket in tickets]})


async def finish(
    session: AsyncSession, ticket: Ticket, *, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Store the answer. Without effect when the ticket has lapsed."""
    answer = {"status": status, "headers": json.dumps(dict(headers)), "body": body}
    await session.execute(_FINISH, {**_parameters(ticket), **answer})


async def abandon(session: AsyncSession, ticket: Ticket) -> None:
    """Drop the ticket without an answer (after an overload, say): the next try counts as the first."""
    await session.execute(_ABANDON, _parameters(ticket))


async def count(session: AsyncSession, user_id: str) -> int:
    """Count the user's answers, those that are being given included."""
    statement = text("SELECT count(*) FROM idempotency_keys WHERE user_id = :user_id")
    return int(await session.scalar(statement, {"user_id": user_id}) or 0)


async def remove_older(session: AsyncSession, age_s: float) -> None:
    """Delete answers older than `age_s` seconds."""
    statement = text("DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(secs => :age_s)")
    await session.execute(statement, {"age_s": age_s})


def _parameters(ticket: Ticket) -> dict[str, Any]:
    return {"user_id": ticket.user_id, "key": ticket.key, "route": ticket.route, "token": ticket.token}
