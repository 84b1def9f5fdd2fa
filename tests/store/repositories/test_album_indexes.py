"""Rows that say which file holds an album's index."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.repositories import album_indexes, albums
from tests.support.rows import an_album


async def a_file(session: AsyncSession, album_id: str, key: str) -> None:
    await album_indexes.announce(session, key, 10)
    await album_indexes.use(session, album_id, key)


async def unused(session: AsyncSession) -> list[str]:
    return sorted(await album_indexes.load_unused(session, older_than_s=0))


async def test_an_album_has_the_index_that_came_last_and_the_earlier_one_is_unused(session: AsyncSession) -> None:
    album = await an_album(session)
    assert await album_indexes.find(session, album.id) is None
    await a_file(session, album.id, "first")
    await a_file(session, album.id, "second")
    assert await album_indexes.find(session, album.id) == "second"
    assert await unused(session) == ["first"]


async def test_an_index_that_was_announced_and_never_used_is_unused(session: AsyncSession) -> None:
    album = await an_album(session)
    await album_indexes.announce(session, "begun", 10)
    assert await album_indexes.find(session, album.id) is None
    assert await unused(session) == ["begun"]


async def test_an_index_written_a_moment_ago_is_not_removed_yet(session: AsyncSession) -> None:
    await album_indexes.announce(session, "begun", 10)
    assert await album_indexes.load_unused(session) == []


async def test_the_index_of_a_deleted_album_is_unused(session: AsyncSession) -> None:
    album = await an_album(session)
    await a_file(session, album.id, "its own")
    await albums.remove(session, album.id)
    assert await unused(session) == ["its own"]


async def test_an_album_that_is_gone_gets_no_index(session: AsyncSession) -> None:
    await a_file(session, "alb_gone", "late")
    assert await unused(session) == ["late"]


async def test_a_file_that_was_used_again_under_the_same_key_is_not_unused(session: AsyncSession) -> None:
    album = await an_album(session)
    await a_file(session, album.id, "same")
    await a_file(session, album.id, "same")
    assert await unused(session) == []


async def test_a_removed_file_is_forgotten(session: AsyncSession) -> None:
    await album_indexes.announce(session, "begun", 10)
    await album_indexes.remove(session, ["begun"])
    assert await unused(session) == []
