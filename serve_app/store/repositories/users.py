"""Users and the hashes of their keys.

`LOCAL_USER_ID` owns everything while authentication is off; the first migration makes it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Conflict, InvalidRequest
from serve_app.store.ids import new_id
from serve_app.store.models import AlbumRow, ImageRow, JobRow, UserRow
from serve_app.store.repositories import albums

LOCAL_USER_ID = "usr_local"
_CURSOR = re.compile(r"usr_(?:local|[0-9a-hjkmnp-tv-z]{26})")


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user's row, without the key's hash."""

    id: str
    username: str
    email: str
    created_at: datetime


_COLUMNS = (UserRow.id, UserRow.username, UserRow.email, UserRow.created_at)


def folded(text: str) -> str:
    """Fold a name: names of one folded form are the same name, whatever their case, width and ligatures."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


async def add(session: AsyncSession, username: str, email: str, api_key_hash: str | None = None) -> StoredUser:
    """Add a user. Raises `Conflict`, whose `extra["taken"]` lists `username`, `email` or both."""
    unique = {"username_folded": folded(username), "email_folded": folded(email)}
    row = {"id": new_id("usr"), "username": username, "email": email, "api_key_hash": api_key_hash, **unique}
    statement = insert(UserRow).values(row).on_conflict_do_nothing().returning(*_COLUMNS)
    while True:
        made = (await session.execute(statement)).one_or_none()
        if made is not None:
            return StoredUser(*made)
        taken = await _taken(session, **unique)
        if taken:
            named = " and ".join({"username": "user name", "email": "e-mail address"}[one] for one in taken)
            raise Conflict(f"This {named} is taken.", extra={"taken": taken})
        # The user who had it was deleted between the two statements: try again.


async def _taken(session: AsyncSession, username_folded: str, email_folded: str) -> list[str]:
    statement = select(UserRow.username_folded == username_folded, UserRow.email_folded == email_folded).where(
        or_(UserRow.username_folded == username_folded, UserRow.email_folded == email_folded)
    )
    found = (await session.execute(statement)).all()
    return [name for place, name in enumerate(("username", "email")) if any(row[place] for row in found)]


async def get(session: AsyncSession, user_id: str) -> StoredUser | None:
    """Get a user by id."""
    found = (await session.execute(select(*_COLUMNS).where(UserRow.id == user_id))).one_or_none()
    return None if found is None else StoredUser(*found)


async def find_by_key(session: AsyncSession, api_key_hash: str) -> StoredUser | None:
    """Find the user whose key has this SHA-256."""
    statement = select(*_COLUMNS).where(UserRow.api_key_hash == api_key_hash)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else StoredUser(*found)


async def set_key(session: AsyncSession, user_id: str, api_key_hash: str | None) -> bool:
    """Replace the user's key, or remove it (None). False: there is no such user."""
    statement = update(UserRow).where(UserRow.id == user_id).values(api_key_hash=api_key_hash)
    return (await session.scalar(statement.returning(UserRow.id))) is not None


async def load_page(session: AsyncSession, limit: int, cursor: str | None = None) -> list[StoredUser]:
    """Load users, newest first, those after the id `cursor`. Raises `InvalidRequest` for a cursor that is none."""
    statement = select(*_COLUMNS).order_by(UserRow.id.desc()).limit(limit)
    if cursor is not None:
        if _CURSOR.fullmatch(cursor) is None:
            raise InvalidRequest("The cursor is none that this server gave", extra={"parameter": "cursor"})
        statement = statement.where(UserRow.id < cursor)
    return [StoredUser(*row) for row in await session.execute(statement)]


async def remove(session: AsyncSession, user_id: str) -> list[str] | None:
    """Delete the user with everything that is the user's. -> ids of the deleted jobs; None: there is no such user.

    Vectors, faces, quality and verdicts of file contents that are in no album any more go too; the contents themselves
    are left for `images.collect_unused`. Transactions that write for the user at the same time are waited for, or fail
    because the user is gone.
    """
    own_albums = select(AlbumRow.id).where(AlbumRow.user_id == user_id).order_by(AlbumRow.id)
    await session.execute(own_albums.with_for_update(key_share=True))
    shas = list(await session.scalars(select(ImageRow.sha256).where(ImageRow.user_id == user_id).distinct()))
    ended = list(await session.scalars(delete(JobRow).where(JobRow.user_id == user_id).returning(JobRow.id)))
    if await session.scalar(delete(UserRow).where(UserRow.id == user_id).returning(UserRow.id)) is None:
        return None
    await albums.delete_orphaned(session, shas)
    return ended
