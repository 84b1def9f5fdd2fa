"""The trash, and deletions, beside other changes of the same images."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from deployments.errors import NotFound
from serve_app.services.images.changes import ImageChange, ImageChanges
from serve_app.store.repositories import albums, images, trash
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database
from tests.support.rows import an_image

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


async def waits_for_a_lock(database: Database) -> None:
    """Wait until some transaction waits for another."""

    async def look() -> None:
        while True:
            async with database.transaction() as session:
                if await session.scalar(_WAITING):
                    return

    await asyncio.wait_for(look(), 20)


async def take(database: Database, album: str, image_id: str) -> None:
    async with database.transaction() as session:
        opened = await albums.open_album(session, LOCAL_USER_ID, album)
        await albums.add_refs(session, opened.id, [image_id], [image_id])


async def throw(database: Database, image_id: str) -> None:
    async with database.transaction() as session:
        await trash.put_in(session, LOCAL_USER_ID, [image_id])


async def holders(database: Database, image_id: str) -> list[str | None]:
    async with database.transaction() as session:
        names = text("SELECT name FROM albums JOIN album_images ON album_id = albums.id WHERE image_id = :id")
        return list(await session.scalars(names, {"id": image_id}))


async def an_image_of(database: Database, *names: str) -> str:
    async with database.transaction() as session:
        image = (await an_image(session)).id
    for name in names:
        await take(database, name, image)
    return image


@pytest.mark.parametrize(("first", "second"), [(take, throw), (throw, take)])
async def test_an_image_that_an_album_takes_while_it_is_thrown_away_is_in_one_of_the_two(
    database: Database, first: Callable[..., Awaitable[None]], second: Callable[..., Awaitable[None]]
) -> None:
    image = await an_image_of(database, "a")

    def call(step: Callable[..., Awaitable[None]]) -> Awaitable[None]:
        return step(database, "b", image) if step is take else step(database, image)

    async with database.transaction() as session:
        if first is take:
            opened = await albums.open_album(session, LOCAL_USER_ID, "b")
            await albums.add_refs(session, opened.id, [image], [image])
        else:
            await trash.put_in(session, LOCAL_USER_ID, [image])
        later = asyncio.ensure_future(call(second))
        await waits_for_a_lock(database)
    await asyncio.wait_for(later, 20)
    assert await holders(database, image) == []
    async with database.transaction() as session:
        stored = await images.get(session, LOCAL_USER_ID, image)
        assert stored is not None
        assert stored.trashed_at is not None
        await trash.restore(session, LOCAL_USER_ID, [image])
    assert set(await holders(database, image)) == ({"a", "b"} if first is take else {"a"})


async def test_an_album_that_took_an_image_meanwhile_has_its_next_version_when_it_loses_it(database: Database) -> None:
    image = await an_image_of(database)
    async with database.transaction() as session:
        opened = await albums.open_album(session, LOCAL_USER_ID, "b")
        await albums.add_refs(session, opened.id, [image], [image])
        later = asyncio.create_task(throw(database, image))
        await waits_for_a_lock(database)
        taken = await albums.get(session, opened.id)
    await asyncio.wait_for(later, 20)
    async with database.transaction() as session:
        lost = await albums.get(session, opened.id)
    assert taken is not None
    assert lost is not None
    assert lost.version > taken.version


async def test_a_change_of_tags_waits_for_a_deletion_without_holding_it_up(database: Database) -> None:
    image = await an_image_of(database, "a")
    change = ImageChanges(database).change(LOCAL_USER_ID, image, ImageChange(add_tags=["holiday"]))
    async with database.transaction() as session:
        await images.touch_albums(session, LOCAL_USER_ID, [image])  # as a deletion begins
        changing = asyncio.create_task(change)
        await waits_for_a_lock(database)
        assert await images.remove(session, LOCAL_USER_ID, image)
    with pytest.raises(NotFound):
        await asyncio.wait_for(changing, 20)
