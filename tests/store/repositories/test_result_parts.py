"""Results stored by parts: what is written, and what is read by page."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.repositories import result_parts, results
from serve_app.store.repositories.result_parts import MOST_BYTES, Entry, cut
from tests.support.rows import an_album

KEYS = st.integers(0, 999).map(lambda number: f"{number:06d}")
SECTIONS = st.dictionaries(KEYS, st.integers(0, 9), max_size=60)
SLOW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some_entries(of: dict[str, int]) -> list[Entry]:
    return [(key, {"n": value, "word": "é\0" * value}) for key, value in sorted(of.items())]


def many(count: int, changed: int | None = None) -> list[Entry]:
    return [(f"{number:06d}", {"n": -1 if number == changed else number}) for number in range(count)]


async def save(session: AsyncSession, album_id: str, version: int, **sections: list[Entry]) -> int:
    parts = [part for name, entries in sections.items() for part in cut(name, entries)]
    await results.save(session, album_id, "tags", "key", version, {}, parts)
    found = await results.find(session, album_id, "tags", "key")
    assert found is not None
    assert found.id is not None
    return found.id


async def stored_rows(session: AsyncSession, result_id: int) -> set[tuple[Any, ...]]:
    statement = (
        "SELECT section, last_key, size, CAST(entries AS text), xmin, ctid FROM result_parts WHERE result_id = :id"
    )
    return {tuple(row) for row in await session.execute(text(statement), {"id": result_id})}


@given(first=st.tuples(SECTIONS, SECTIONS), second=st.tuples(SECTIONS, SECTIONS))
@SLOW
async def test_the_difference_leaves_the_same_rows_as_writing_all_anew(
    session: AsyncSession, first: tuple[dict[str, int], ...], second: tuple[dict[str, int], ...]
) -> None:
    async with session.begin_nested() as point:
        one, other = await an_album(session, "one"), await an_album(session, "other")
        await save(session, one.id, 1, a=some_entries(first[0]), b=some_entries(first[1]))
        changed = await save(session, one.id, 2, a=some_entries(second[0]), b=some_entries(second[1]))
        anew = await save(session, other.id, 2, a=some_entries(second[0]), b=some_entries(second[1]))
        rows = [{row[:4] for row in await stored_rows(session, of)} for of in (changed, anew)]
        assert rows[0] == rows[1]
        await point.rollback()


@given(of=SECTIONS, limit=st.integers(1, 70))
@SLOW
async def test_pages_after_one_another_hold_every_entry_once(
    session: AsyncSession, of: dict[str, int], limit: int
) -> None:
    async with session.begin_nested() as point:
        album = await an_album(session)
        result_id = await save(session, album.id, 1, a=some_entries(of), b=some_entries({"000001": 1}))
        seen: list[Entry] = []
        while page := await result_parts.load_page(session, result_id, "a", seen[-1][0] if seen else "", limit):
            assert len(page) <= limit
            seen += page
        assert seen == some_entries(of)
        await point.rollback()


async def test_pages_go_on_from_a_cursor_whose_entry_is_gone(session: AsyncSession) -> None:
    album = await an_album(session)
    await save(session, album.id, 1, a=many(1000))
    result_id = await save(session, album.id, 2, a=[entry for entry in many(1000) if entry[0] != "000499"])
    page = await result_parts.load_page(session, result_id, "a", "000499", 3)
    assert [key for key, _ in page] == ["000500", "000501", "000502"]


async def test_an_entry_more_or_another_one_writes_one_part(session: AsyncSession) -> None:
    album = await an_album(session)
    before = await stored_rows(session, await save(session, album.id, 1, a=many(5000)))
    for version, entries in ((2, many(5001)), (3, many(5001, changed=2500))):
        after = await stored_rows(session, await save(session, album.id, version, a=entries))
        assert len(after - before) == 1
        before = after


async def test_a_late_result_of_an_old_version_writes_no_part(session: AsyncSession) -> None:
    album = await an_album(session)
    newest = await save(session, album.id, 2, a=many(10))
    await save(session, album.id, 1, a=many(20))
    assert len((await result_parts.load_all(session, newest))["a"]) == 10


def test_parts_are_bounded_whatever_the_entries() -> None:
    parts = cut("a", [(f"{number:06d}", {"text": "x" * 9000}) for number in range(200)])
    assert sum(part.size for part in parts) == 200
    assert max(len(part.entries) for part in parts) < MOST_BYTES + 10_000


async def test_a_result_of_an_earlier_version_is_found_until_there_is_a_newer_one(session: AsyncSession) -> None:
    album = await an_album(session)
    old = text("INSERT INTO analysis_results VALUES (:album, 'tags', 'key', :version, :payload)")
    await session.execute(old, {"album": album.id, "version": 4, "payload": '{"tags": {"old": []}}'})
    found = await results.find(session, album.id, "tags", "key")
    assert found is not None
    assert (found.id, found.album_version, found.payload) == (None, 4, {"tags": {"old": []}})
    assert (await results.load_latest(session, album.id))["tags"] == found
    for version, is_newer in ((3, False), (4, True)):
        await results.save(session, album.id, "tags", "key", version, {}, cut("a", many(1)))
        found = await results.find(session, album.id, "tags", "key")
        assert found is not None
        assert (found.id is not None) == is_newer
    assert await session.scalar(text("SELECT count(*) FROM analysis_results")) == 0
