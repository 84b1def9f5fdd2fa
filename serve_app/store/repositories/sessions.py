"""Sessions of web pages, by the hash of what their cookies hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.models import SessionRow, UserRow


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session that goes on."""

    user_id: str
    key_hash: str
    """Of the user's key."""


async def add(session: AsyncSession, token_hash: str, user_id: str, key_hash: str, lives_s: float) -> datetime:
    """Add a session. -> when it ends"""
    ends_at = func.now() + timedelta(seconds=lives_s)
    values = {"token_hash": token_hash, "user_id": user_id, "key_hash": key_hash, "expires_at": ends_at}
    statement = insert(SessionRow).values(values).returning(SessionRow.expires_at)
    return (await session.scalars(statement)).one()


async def find(session: AsyncSession, token_hash: str) -> StoredSession | None:
    """Find a session that has not ended, of a user who still has the key that it was opened with."""
    statement = (
        select(SessionRow.user_id, SessionRow.key_hash)
        .join(UserRow, UserRow.id == SessionRow.user_id)
        .where(
            SessionRow.token_hash == token_hash,
            SessionRow.expires_at > func.now(),
            UserRow.api_key_hash == SessionRow.key_hash,
        )
    )
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else StoredSession(*found)


async def remove(session: AsyncSession, token_hash: str) -> None:
    """Remove a session."""
    await session.execute(delete(SessionRow).where(SessionRow.token_hash == token_hash))


async def remove_oldest(session: AsyncSession, user_id: str, keep: int) -> None:
    """Remove a user's sessions but for the newest `keep`."""
    newest_first = SessionRow.created_at.desc(), SessionRow.token_hash
    old = select(SessionRow.token_hash).where(SessionRow.user_id == user_id).order_by(*newest_first).offset(keep)
    await session.execute(delete(SessionRow).where(SessionRow.token_hash.in_(old)))


async def remove_expired(session: AsyncSession, limit: int = 1000) -> int:
    """Remove sessions that have ended. -> how many, at most `limit`"""
    old = select(SessionRow.token_hash).where(SessionRow.expires_at < func.now()).limit(limit)
    locked = old.with_for_update(skip_locked=True)
    gone = delete(SessionRow).where(SessionRow.token_hash.in_(locked)).returning(SessionRow.token_hash)
    return len((await session.scalars(gone)).all())
