"""Users. `LOCAL_USER_ID` owns everything while authentication is off; the first migration makes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Conflict
from serve_app.store.ids import new_id
from serve_app.store.models import UserRow

LOCAL_USER_ID = "usr_local"


@dataclass(frozen=True, slots=True)
class User:
    id: str
    username: str
    email: str
    created_at: datetime


_COLUMNS = (UserRow.id, UserRow.username, UserRow.email, UserRow.created_at)


async def add(session: AsyncSession, username: str, email: str, api_key_hash: str | None = None) -> User:
    """Raises `Conflict` when the name or the address is taken."""
    row = {"id": new_id("usr"), "username": username, "email": email, "api_key_hash": api_key_hash}
    statement = insert(UserRow).values(row).on_conflict_do_nothing().returning(*_COLUMNS)
    made = (await session.execute(statement)).one_or_none()
    if made is None:
        raise Conflict("A user with this name or e-mail address exists")
    return User(*made)


async def get(session: AsyncSession, user_id: str) -> User | None:
    found = (await session.execute(select(*_COLUMNS).where(UserRow.id == user_id))).one_or_none()
    return None if found is None else User(*found)


async def find_by_key(session: AsyncSession, api_key_hash: str) -> User | None:
    statement = select(*_COLUMNS).where(UserRow.api_key_hash == api_key_hash)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else User(*found)


async def load_page(session: AsyncSession, limit: int, cursor: str | None = None) -> list[User]:
    """Newest first, those after the id `cursor`."""
    statement = select(*_COLUMNS).order_by(UserRow.id.desc()).limit(limit)
    if cursor is not None:
        statement = statement.where(UserRow.id < cursor)
    return [User(*row) for row in await session.execute(statement)]
