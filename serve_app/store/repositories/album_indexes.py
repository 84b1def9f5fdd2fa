"""Files that hold an album's index for the search for duplicates. Each is written once, under a key of its own.

An index is announced before its file is written, so that no file is forgotten; it counts from `use` on. One that counts
no more, because a newer one does or its album is gone, is removed an hour later: somebody may be reading it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.arrays import any_text
from serve_app.store.models import AlbumIndexRow, AlbumRow

_UNUSED_S = 3600.0


async def announce(session: AsyncSession, key: str, size_bytes: int) -> None:
    """Note a file that is going to be written. Noting one twice changes nothing."""
    row = {"key": key, "size_bytes": size_bytes}
    await session.execute(insert(AlbumIndexRow).values(row).on_conflict_do_nothing())


async def use(session: AsyncSession, album_id: str, key: str) -> None:
    """Let a file that was announced be the album's index in place of an earlier one, unless the album is gone."""
    known = select(AlbumRow.id).where(AlbumRow.id == album_id).with_for_update(key_share=True)
    if await session.scalar(known) is None:
        return
    others = update(AlbumIndexRow).where(AlbumIndexRow.album_id == album_id, AlbumIndexRow.key != key)
    await session.execute(others.values(album_id=None))
    await session.execute(update(AlbumIndexRow).where(AlbumIndexRow.key == key).values(album_id=album_id))


async def find(session: AsyncSession, album_id: str) -> str | None:
    """Find the key of the album's index."""
    key: str | None = await session.scalar(select(AlbumIndexRow.key).where(AlbumIndexRow.album_id == album_id))
    return key


async def load_unused(session: AsyncSession, limit: int = 20, older_than_s: float = _UNUSED_S) -> list[str]:
    """Find and lock keys of files that are no album's index."""
    statement = select(AlbumIndexRow.key).where(
        AlbumIndexRow.album_id.is_(None), AlbumIndexRow.created_at <= func.now() - timedelta(seconds=older_than_s)
    )
    return list(await session.scalars(statement.limit(limit).with_for_update(skip_locked=True)))


async def remove(session: AsyncSession, keys: Sequence[str]) -> None:
    """Forget files that were deleted."""
    await session.execute(delete(AlbumIndexRow).where(AlbumIndexRow.key == any_text(keys)))
