"""The outbox of what changed for users: written by triggers, read in an order that nothing comes before later."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from deployments.errors import InvalidRequest
from serve_app.store.queue import jobs
from serve_app.store.repositories import albums, events, users
from serve_app.store.repositories.events import Event, Position
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

BEGINNING = Position(0, 0)


async def _read(database: Database, after: Position = BEGINNING, user: str = LOCAL_USER_ID) -> list[Event]:
    async with database.transaction() as session:
        page = await events.load_after(session, user, after)
    return list(page.events)


async def _job(database: Database) -> str:
    async with database.transaction() as session:
        job = await jobs.enqueue(session, user_id=LOCAL_USER_ID, kind="tags", payload={}, max_attempts=1)
    return job.id


async def _album(database: Database, name: str | None, lives_s: float | None = None) -> str:
    async with database.transaction() as session:
        return (await albums.open_album(session, LOCAL_USER_ID, name, lives_s=lives_s)).id


async def test_jobs_and_albums_are_noted_when_they_come_change_and_go(database: Database) -> None:
    job, album = await _job(database), await _album(database, "summer")
    async with database.transaction() as session:
        await jobs.cancel(session, LOCAL_USER_ID, job)
    async with database.transaction() as session:
        await albums.remove(session, album)
    noted = [(event.kind, event.subject_id, event.is_gone) for event in await _read(database)]
    assert noted == [
        ("job", job, False),
        ("album", "summer", False),
        ("job", job, False),
        ("album", "summer", True),
    ]


async def test_hidden_albums_and_writes_that_change_nothing_are_not_noted(database: Database) -> None:
    job = await _job(database)
    hidden = await _album(database, None, lives_s=60)
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET progress = progress, lease_until = NULL"))
        await albums.remove(session, hidden)
    assert [event.subject_id for event in await _read(database)] == [job]


async def test_an_event_of_a_transaction_that_ends_late_is_read_after_those_that_were_read(database: Database) -> None:
    late = database.transaction()
    session = await late.__aenter__()
    slow = await jobs.enqueue(session, user_id=LOCAL_USER_ID, kind="tags", payload={}, max_attempts=1)
    quick = await _job(database)
    async with database.transaction() as other:
        held_back = await events.load_after(other, LOCAL_USER_ID, BEGINNING)
    assert (list(held_back.events), held_back.is_settled) == ([], False)
    await late.__aexit__(None, None, None)
    assert [event.subject_id for event in await _read(database)] == [slow.id, quick]


async def test_reading_goes_on_after_a_position(database: Database) -> None:
    first, second = await _job(database), await _job(database)
    [one, two] = await _read(database)
    assert [one.subject_id, two.subject_id] == [first, second]
    assert await _read(database, one.position) == [two]
    assert await _read(database, two.position) == []


async def test_now_lies_before_all_that_comes(database: Database) -> None:
    await _job(database)
    async with database.transaction() as session:
        now = await events.load_now(session)
    later = await _job(database)
    assert [event.subject_id for event in await _read(database, now)] == [later]


async def test_events_of_an_album_are_told_from_the_others(database: Database) -> None:
    album = await _album(database, "summer")
    await _album(database, "winter")
    async with database.transaction() as session:
        found = await events.load_after(session, LOCAL_USER_ID, BEGINNING, album_id=album)
    assert [event.subject_id for event in found.events] == ["summer"]


async def test_a_page_that_is_full_says_that_there_is_more(database: Database) -> None:
    for _ in range(3):
        await _job(database)
    async with database.transaction() as session:
        page = await events.load_after(session, LOCAL_USER_ID, BEGINNING, limit=2)
        rest = await events.load_after(session, LOCAL_USER_ID, page.events[-1].position, limit=2)
    assert (len(page.events), page.is_settled, len(rest.events), rest.is_settled) == (2, False, 1, True)


@pytest.mark.parametrize(("age_s", "most", "left"), [(3600.0, 2, 2), (0.0, 100, 0), (3600.0, 100, 3)])
async def test_old_and_excess_events_are_removed_and_whoever_missed_them_can_tell(
    database: Database, age_s: float, most: int, left: int
) -> None:
    for _ in range(3):
        await _job(database)
    all_of_them = await _read(database)
    async with database.transaction() as session:
        await session.execute(text("UPDATE events SET created_at = now() - interval '1 s'"))
        assert await events.remove_older(session, age_s, most) == 3 - left
    assert await _read(database) == all_of_them[3 - left :]
    async with database.transaction() as session:
        missed = [await events.has_missed(session, LOCAL_USER_ID, event.position) for event in all_of_them]
        assert await events.has_missed(session, LOCAL_USER_ID, BEGINNING) == (left < 3)
    gone = 3 - left
    assert missed == [place < gone - 1 for place in range(3)]


async def test_positions_of_another_server_are_forgotten_and_told_as_missed(database: Database) -> None:
    await _job(database)
    [event] = await _read(database)
    async with database.transaction() as session:
        await session.execute(text("UPDATE events SET transaction = 10 ^ 15"))  # as a restored dump has it
        await session.execute(text("INSERT INTO event_floors VALUES ('usr_local', 'album', 10 ^ 15, 1)"))
    async with database.transaction() as session:
        await events.forget_foreign(session)
    await _job(database)
    [new] = await _read(database)
    async with database.transaction() as session:
        assert await events.has_missed(session, LOCAL_USER_ID, event.position, ["job"])
        assert not await events.has_missed(session, LOCAL_USER_ID, new.position)


async def test_removed_events_are_missed_by_those_who_follow_their_kind(database: Database) -> None:
    await _job(database)
    async with database.transaction() as session:
        await session.execute(text("UPDATE events SET created_at = now() - interval '1 s'"))
        await events.remove_older(session, 0.0, 100)
        assert await events.has_missed(session, LOCAL_USER_ID, BEGINNING, ["job", "image"])
        assert not await events.has_missed(session, LOCAL_USER_ID, BEGINNING, ["album"])


async def test_the_deletion_of_a_user_takes_the_events_along(database: Database) -> None:
    async with database.transaction() as session:
        user = (await users.add(session, "eva", "eva@example.org", "hash")).id
    async with database.transaction() as session:
        await albums.open_album(session, user, "summer")
    assert len(await _read(database, user=user)) == 1
    async with database.transaction() as session:
        await users.remove(session, user)
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT count(*) FROM events WHERE user_id = :user"), {"user": user}) == 0


@pytest.mark.parametrize("given", ["", "1", "1-", "a-b", "1-2-3", "-1-2", "1-2\n", "9" * 40 + "-1"])
def test_positions_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(InvalidRequest):
        Position.parse(given)


def test_a_position_is_read_as_it_was_written() -> None:
    assert Position.parse(str(Position(12, 34))) == Position(12, 34)
