"""Changes of many images beside one another: whatever the order in which the tables have them, none ends the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Settings
from serve_app.services.albums import tags
from serve_app.store.repositories import image_tags, images, quality, trash
from serve_app.store.repositories.quality import StoredQuality
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database
from tests.support.rows import an_image

Change = Callable[[AsyncSession, Sequence[str]], Awaitable[object]]
_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


async def throw_away(session: AsyncSession, ids: Sequence[str]) -> object:
    return await trash.put_in(session, LOCAL_USER_ID, ids)


async def restore(session: AsyncSession, ids: Sequence[str]) -> object:
    return await trash.restore(session, LOCAL_USER_ID, ids)


async def judge(session: AsyncSession, ids: Sequence[str]) -> None:
    found = await images.load(session, LOCAL_USER_ID, ids)
    verdict = StoredQuality(0.5, 0.5, 0.5, ())
    await quality.save(session, {image.content.sha256: verdict for image in found.values()})


async def store_scores(session: AsyncSession, ids: Sequence[str]) -> None:
    await image_tags.save_scores(session, {one: {"dog": 0.25, "beach": 0.5} for one in ids})


async def tag(session: AsyncSession, ids: Sequence[str]) -> None:
    own = sorted(await images.lock(session, LOCAL_USER_ID, ids))
    await image_tags.save_verdicts(session, own, ["dog", "holiday"], [])


async def two_images(database: Database, *, temporary: bool = False) -> list[str]:
    """Two images with a tag each, of which the tables have the later one first."""
    async with database.transaction() as session:
        ids = [(await an_image(session, name)).id for name in ("one", "two")]
        for one in reversed(ids):
            await image_tags.save_scores(session, {one: {"dog": 0.75}})
    async with database.transaction() as session:
        await images.change(session, ids[0], filename="one more.jpg", temporary=temporary)
        await images.change(session, ids[1], temporary=temporary)
        await images.change(session, ids[0], filename="one.jpg")
    return ids


async def begin(database: Database, change: Change, ids: Sequence[str]) -> None:
    async with database.transaction() as session:
        for way in ("indexscan", "indexonlyscan", "bitmapscan"):  # as the planner does where tables are small
            await session.execute(text(f"SET LOCAL enable_{way} = off"))
        await change(session, ids)


async def wait_for_locks(database: Database, count: int) -> None:
    """Wait until so many transactions wait for another."""

    async def look() -> None:
        while True:
            async with database.transaction() as session:
                if await session.scalar(_WAITING) == count:
                    return

    await asyncio.wait_for(look(), 20)


@pytest.mark.parametrize(
    ("change", "table"),
    [
        (throw_away, "images WHERE id"),
        (restore, "images WHERE id"),
        (images.keep, "images WHERE id"),
        (judge, "images WHERE id"),
        (store_scores, "image_tags WHERE image_id"),
    ],
)
async def test_a_change_of_images_and_their_tagging_wait_for_one_another_in_order(
    database: Database, change: Change, table: str
) -> None:
    ids = await two_images(database, temporary=change is images.keep)
    async with database.transaction() as session:
        # Whoever has the later one, the change begins with that, and the tagging with the other.
        await session.execute(text(f"SELECT FROM {table} = :id FOR NO KEY UPDATE"), {"id": ids[1]})
        changing = asyncio.create_task(begin(database, change, ids))
        await wait_for_locks(database, 1)
        tagging = asyncio.create_task(begin(database, tag, ids))
        await wait_for_locks(database, 2)
    await asyncio.wait_for(asyncio.gather(changing, tagging), 20)
    async with database.transaction() as session:
        verdicts = await image_tags.load_verdicts(session, ids)
    assert [verdicts[one] for one in ids] == [{"dog": True, "holiday": True}] * 2


async def test_an_analysis_that_waits_for_an_image_holds_up_no_change_of_those_that_it_has_saved(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "_SAVED", 1)
    ids = await two_images(database)
    analysis = tags.TagAlbum(database, None, None, Settings())  # type: ignore[arg-type]
    async with database.transaction() as session:
        await images.lock(session, LOCAL_USER_ID, ids[1:])
        saving = asyncio.create_task(analysis.save({one: {"beach": 0.5} for one in ids}))
        await wait_for_locks(database, 1)
        await session.execute(text("SELECT FROM images WHERE id = :id FOR UPDATE NOWAIT"), {"id": ids[0]})
    await asyncio.wait_for(saving, 20)
    async with database.transaction() as session:
        assert await image_tags.load(session, ids) == {one: ["beach"] for one in ids}
