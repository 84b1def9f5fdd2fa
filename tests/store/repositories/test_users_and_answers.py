"""Users are unique, and a repeated POST gets the first answer."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Conflict, InvalidRequest, NotFound
from serve_app.store.repositories import albums, idempotency, users
from serve_app.store.repositories.idempotency import BeingAnswered, StoredAnswer, Ticket
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

REQUEST = (LOCAL_USER_ID, "key", "POST /api/v1/albums/tags", "hash")


async def test_the_local_user_is_there_from_the_start(session: AsyncSession) -> None:
    local = await users.get(session, LOCAL_USER_ID)
    assert local is not None
    assert local.username == "local"


@pytest.mark.parametrize(("username", "email"), [("eva", "other@example.org"), ("other", "eva@example.org")])
async def test_a_taken_name_or_address_is_a_conflict(session: AsyncSession, username: str, email: str) -> None:
    await users.add(session, "eva", "eva@example.org")
    with pytest.raises(Conflict):
        await users.add(session, username, email)


async def test_the_conflict_says_which_of_the_two_is_taken(session: AsyncSession) -> None:
    await users.add(session, "eva", "eva@example.org")
    await users.add(session, "bob", "bob@example.org")
    for username, email, taken in (
        ("EVA", "x@example.org", ["username"]),
        ("x", "EVA@Example.org", ["email"]),
        ("Eva", "BOB@example.org", ["username", "email"]),
    ):
        with pytest.raises(Conflict) as raised:
            await users.add(session, username, email)
        assert raised.value.extra["taken"] == taken


async def test_users_with_one_name_that_are_added_at_once_are_one_user(database: Database) -> None:
    async def make(name: str) -> bool:
        try:
            async with database.transaction() as session:
                await users.add(session, name, f"{name}@example.org")
        except Conflict:
            return False
        return True

    made = await asyncio.gather(*(make(name) for name in ("eva", "EVA", "Eva", "eVa", "evA", "ｅｖａ")))
    assert sum(made) == 1


async def test_removing_a_user_removes_no_other(session: AsyncSession) -> None:
    eva, bob = [await users.add(session, name, f"{name}@example.org") for name in ("eva", "bob")]
    assert await users.remove(session, eva.id) == []
    assert await users.remove(session, eva.id) is None
    assert await users.get(session, eva.id) is None
    assert await users.get(session, bob.id) == bob


async def test_a_write_for_a_user_that_is_being_removed_waits_and_fails(database: Database) -> None:
    async with database.transaction() as session:
        eva = await users.add(session, "eva", "eva@example.org")

    async def write() -> None:
        async with database.transaction() as session:
            await albums.open_album(session, eva.id, "late")

    async with database.transaction() as session:
        await users.remove(session, eva.id)
        writing = asyncio.create_task(write())
        async with asyncio.timeout(20):
            while True:
                if await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                    break
                await asyncio.sleep(0.01)
    with pytest.raises(NotFound):
        await writing


async def test_a_user_is_found_by_the_hash_of_its_key(session: AsyncSession) -> None:
    eva = await users.add(session, "eva", "eva@example.org", "hash")
    assert await users.find_by_key(session, "hash") == eva
    assert await users.find_by_key(session, "other") is None


async def test_users_are_listed_newest_first(session: AsyncSession) -> None:
    made = [(await users.add(session, name, name)).id for name in ("a", "b")]
    page = await users.load_page(session, 2)
    assert [user.id for user in await users.load_page(session, 2)] == ["usr_local", made[1]]
    assert [user.id for user in await users.load_page(session, 2, page[-1].id)] == [made[0]]


async def begin(session: AsyncSession) -> Ticket:
    ticket = await idempotency.begin(session, *REQUEST)
    assert isinstance(ticket, Ticket)
    return ticket


async def test_a_repeated_request_gets_the_first_answer(session: AsyncSession) -> None:
    ticket = await begin(session)
    await idempotency.finish(session, ticket, status=201, headers={"Location": "/x"}, body=b"\x00\xff")
    assert await idempotency.begin(session, *REQUEST) == StoredAnswer(201, {"Location": "/x"}, b"\x00\xff")


async def test_a_request_repeated_while_the_first_is_answered_is_a_conflict(session: AsyncSession) -> None:
    await begin(session)
    with pytest.raises(Conflict):
        await idempotency.begin(session, *REQUEST)


async def test_the_key_of_one_request_cannot_serve_another(session: AsyncSession) -> None:
    await begin(session)
    with pytest.raises(InvalidRequest):
        await idempotency.begin(session, *REQUEST[:3], "another hash")
    assert isinstance(await idempotency.begin(session, LOCAL_USER_ID, "key", "POST /elsewhere", "hash"), Ticket)


async def test_an_abandoned_answer_leaves_the_key_free(session: AsyncSession) -> None:
    await idempotency.abandon(session, await begin(session))
    await begin(session)


async def test_an_answer_whose_process_died_is_begun_anew_and_the_first_tickets_answer_does_not_count(
    database: Database,
) -> None:
    async with database.transaction() as session:
        first = await begin(session)
    async with database.transaction() as session:
        second = await idempotency.begin(session, *REQUEST, stale_after_s=0)
        assert isinstance(second, Ticket)
        await idempotency.finish(session, first, status=500, headers={}, body=b"late")
        await idempotency.abandon(session, first)
        await idempotency.finish(session, second, status=200, headers={}, body=b"right")
    async with database.transaction() as session:
        assert await idempotency.begin(session, *REQUEST) == StoredAnswer(200, {}, b"right")
        assert isinstance(await idempotency.begin(session, *REQUEST, keep_s=0), Ticket)


async def test_requests_with_one_key_that_come_at_once_are_answered_once(database: Database) -> None:
    async def ask() -> bool:
        try:
            async with database.transaction() as session:
                return isinstance(await idempotency.begin(session, *REQUEST), Ticket)
        except Conflict:
            return False

    assert sum(await asyncio.gather(*(ask() for _ in range(8)))) == 1


async def test_old_answers_are_removed(database: Database) -> None:
    async with database.transaction() as session:
        await begin(session)
    async with database.transaction() as session:
        await idempotency.remove_older(session, 60)
        with pytest.raises(Conflict):
            await idempotency.begin(session, *REQUEST)
    async with database.transaction() as session:
        await idempotency.remove_older(session, 0)
        await begin(session)


async def test_a_ticket_that_is_renewed_does_not_lapse(database: Database) -> None:
    async with database.transaction() as session:
        ticket = await begin(session)
    async with database.transaction() as session:
        await idempotency.renew(session, [ticket])
        with pytest.raises(BeingAnswered) as first:
            await idempotency.begin(session, *REQUEST)
    async with database.transaction() as session:
        await idempotency.renew(session, [ticket])
        with pytest.raises(BeingAnswered) as second:
            await idempotency.begin(session, *REQUEST)
    assert first.value.renewed_at is not None
    assert second.value.renewed_at is not None
    assert second.value.renewed_at > first.value.renewed_at


async def test_renewing_changes_no_answer_that_was_given(session: AsyncSession) -> None:
    ticket = await begin(session)
    await idempotency.finish(session, ticket, status=200, headers={}, body=b"first")
    await idempotency.renew(session, [ticket])
    assert await idempotency.begin(session, *REQUEST) == StoredAnswer(200, {}, b"first")
