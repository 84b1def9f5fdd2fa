"""The trash: images that are to go after a while, taken out of their albums, which they remember."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Unavailable
from serve_app.store.arrays import any_text
from serve_app.store.models import ImageRow
from serve_app.store.repositories import albums

_LOCK_ALBUMS = """
    WITH held AS (
        SELECT id FROM albums WHERE user_id = :user_id AND id IN (
            SELECT album_id FROM {table} WHERE image_id = ANY(CAST(:ids AS text[]))
        ) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE albums SET version = version + 1, updated_at = now() FROM held WHERE albums.id = held.id RETURNING albums.id
"""
_TOUCH_HOLDERS = text(_LOCK_ALBUMS.format(table="album_images"))
_TOUCH_REMEMBERED = text(_LOCK_ALBUMS.format(table="trashed_items"))
_HOLDERS = text("SELECT DISTINCT album_id FROM album_images WHERE image_id = ANY(CAST(:ids AS text[]))")
_TRIES = 5
_TRASH = text("""
    WITH held AS (
        SELECT id, trashed_at FROM images
        WHERE user_id = :user_id AND id = ANY(CAST(:ids AS text[])) AND NOT temporary
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE images SET trashed_at = coalesce(images.trashed_at, now()) FROM held WHERE images.id = held.id
    RETURNING images.id, held.trashed_at IS NULL
""")
"""Locks images in order, as everywhere (`images.lock`)."""
_TAKE_OUT = text("""
    WITH gone AS (
        DELETE FROM album_images WHERE image_id = ANY(CAST(:ids AS text[]))
        RETURNING image_id, album_id, ref, ref_sha256, status
    )
    INSERT INTO trashed_items (image_id, album_id, ref, ref_sha256, status)
    SELECT image_id, album_id, ref, ref_sha256, status FROM gone ON CONFLICT DO NOTHING
""")
_RESTORE = text("""
    WITH held AS (
        SELECT id, trashed_at FROM images WHERE user_id = :user_id AND id = ANY(CAST(:ids AS text[]))
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE images SET trashed_at = NULL FROM held WHERE images.id = held.id
    RETURNING images.id, held.trashed_at IS NOT NULL
""")
_PUT_BACK = text("""
    WITH back AS (
        DELETE FROM trashed_items WHERE image_id = ANY(CAST(:ids AS text[]))
        RETURNING image_id, album_id, ref, ref_sha256, status
    )
    INSERT INTO album_images (album_id, ref, ref_sha256, image_id, status)
    SELECT album_id, ref, ref_sha256, image_id, status FROM back ORDER BY album_id, image_id
    ON CONFLICT (album_id, ref_sha256) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Moved:
    """Images that were put into the trash, or taken out of it."""

    there: set[str]
    """Those that are where they should be by now."""
    changed: set[str]
    """Those of them that were not before."""

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> Moved:
        """Read rows of an image and whether it was elsewhere."""
        was_elsewhere = {row[0]: row[1] for row in rows}
        return cls(set(was_elsewhere), {image for image, is_new in was_elsewhere.items() if is_new})


async def put_in(session: AsyncSession, user_id: str, image_ids: Sequence[str]) -> Moved:
    """Put the user's images into the trash, out of every album; temporary ones stay.

    Albums are locked before images, as everywhere. Where one took an image in between, all is let go and locked anew.
    Raises `Unavailable` where that happens again and again.
    """
    values = {"user_id": user_id, "ids": sorted(image_ids)}
    for _ in range(_TRIES):
        attempt = await session.begin_nested()
        held = set(await session.scalars(_TOUCH_HOLDERS, values))
        moved = Moved.of(await session.execute(_TRASH, values))
        if set(await session.scalars(_HOLDERS, {"ids": sorted(moved.there)})) <= held:
            await session.execute(_TAKE_OUT, {"ids": sorted(moved.there)})
            await attempt.commit()
            return moved
        await attempt.rollback()
    raise Unavailable("Albums go on taking these images: try again.")


async def restore(session: AsyncSession, user_id: str, image_ids: Sequence[str]) -> Moved:
    """Take the user's images out of the trash, back into the albums that are still there."""
    values = {"user_id": user_id, "ids": sorted(image_ids)}
    await session.execute(_TOUCH_REMEMBERED, values)
    moved = Moved.of(await session.execute(_RESTORE, values))
    await session.execute(_PUT_BACK, {"ids": sorted(moved.there)})
    return moved


async def empty(session: AsyncSession, user_id: str, limit: int = 500) -> int:
    """Delete images of the user's trash. -> how many; 0: it is empty"""
    return await _delete(session, ImageRow.user_id == user_id, limit=limit)


async def remove_old(session: AsyncSession, older_than_s: float, limit: int = 500) -> int:
    """Delete images that have lain in the trash for so long. -> how many"""
    return await _delete(session, ImageRow.trashed_at < func.now() - timedelta(seconds=older_than_s), limit=limit)


async def _delete(session: AsyncSession, *which: object, limit: int) -> int:
    trashed = select(ImageRow.id).where(ImageRow.trashed_at.is_not(None), *which)  # type: ignore[arg-type]
    ids = list(await session.scalars(trashed.limit(limit).with_for_update(skip_locked=True)))
    gone = delete(ImageRow).where(ImageRow.id == any_text(ids)).returning(ImageRow.sha256)
    shas = list(await session.scalars(gone.execution_options(synchronize_session=False)))
    await albums.delete_orphaned(session, sorted(set(shas)))
    return len(shas)
