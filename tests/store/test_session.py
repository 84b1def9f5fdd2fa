"""Transactions commit or roll back as a whole, and say `Unavailable` when the database is the reason."""

from __future__ import annotations

import asyncio
import socket

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from deployments.errors import ConnectionsInUse, InvalidRequest, NotFound, Unavailable
from serve_app.api.problems import problem_of
from serve_app.store.repositories import albums, users
from serve_app.store.session import Database


async def test_a_block_that_raises_leaves_nothing_behind(database: Database) -> None:
    async def add_and_fail() -> None:
        async with database.transaction() as session:
            await users.add(session, "eva", "eva@example.org")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await add_and_fail()
    async with database.transaction() as session:
        assert [user.username for user in await users.load_page(session, 10)] == ["local"]


async def test_a_block_that_ends_commits(database: Database) -> None:
    async with database.transaction() as session:
        made = await users.add(session, "eva", "eva@example.org")
    async with database.transaction() as session:
        assert await users.get(session, made.id) == made


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: object) -> None:
    database = Database(f"postgresql+asyncpg://postgres@/postgres?host={tmp_path}", application_name="test")
    with pytest.raises(Unavailable):
        await database.ping()
    await database.close()


async def test_a_server_that_refuses_the_connection_is_unavailable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        database = Database(
            f"postgresql+asyncpg://postgres@127.0.0.1:{held.getsockname()[1]}/postgres", application_name="test"
        )
        with pytest.raises(Unavailable):
            await database.ping()
        await database.close()


async def test_a_server_that_never_answers_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        database = Database(
            f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres", application_name="test", connect_timeout_s=0.05
        )
        with pytest.raises(Unavailable):
            await database.ping()
        await database.close()


async def test_a_connection_that_is_cut_in_a_transaction_is_unavailable_and_the_next_one_works(
    database: Database,
) -> None:
    async def lose_the_connection() -> None:
        async with database.transaction() as victim:
            pid = await victim.scalar(text("SELECT pg_backend_pid()"))
            async with database.transaction() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            await victim.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        await lose_the_connection()
    await database.ping()


async def test_a_statement_over_its_time_is_unavailable(postgres: str) -> None:
    database = Database(postgres, application_name="test", statement_timeout_s=0.05)
    with pytest.raises(Unavailable):
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_sleep(30)"))
    await database.close()


async def test_a_lock_that_is_not_given_in_time_is_unavailable(postgres: str, database: Database) -> None:
    impatient = Database(postgres, application_name="test", lock_timeout_s=0.05)
    async with database.transaction() as holder:
        await holder.execute(text("LOCK TABLE jobs"))
        with pytest.raises(Unavailable):
            async with impatient.transaction() as session:
                await session.execute(text("SELECT count(*) FROM jobs"))
    await impatient.close()


async def test_a_process_out_of_connections_is_busy_which_clients_see_as_429(postgres: str) -> None:
    database = Database(postgres, application_name="test", pool_size=1, max_overflow=0, pool_timeout_s=0.05)
    async with database.transaction():
        with pytest.raises(ConnectionsInUse, match="in use") as caught:
            await database.ping()
        assert problem_of(caught.value)["status"] == 429
    await database.close()


@pytest.mark.parametrize("name", ["nul \x00 inside", "half \ud800 a pair"])
async def test_text_that_cannot_be_stored_is_the_requests_fault(database: Database, name: str) -> None:
    with pytest.raises(InvalidRequest, match="character"):
        async with database.transaction() as session:
            await albums.open_album(session, users.LOCAL_USER_ID, name)


async def test_a_name_too_long_for_an_index_is_the_requests_fault(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        async with database.transaction() as session:
            await albums.open_album(session, users.LOCAL_USER_ID, "".join(map(chr, range(0x4E00, 0x4E00 + 9000))))


async def test_the_callers_own_errors_pass_unchanged(database: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with database.transaction():
            raise FileNotFoundError("a stored picture")
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(text("INSERT INTO albums (id, user_id) VALUES ('alb_1', NULL)"))


async def test_a_row_of_a_deleted_parent_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="deleted meanwhile"):
        async with database.transaction() as session:
            await albums.open_album(session, "usr_gone", "a")


async def test_behind_a_pooler_nothing_outlives_a_transaction_and_limits_still_hold(postgres: str) -> None:
    database = Database(
        f"{postgres}&prepared_statement_cache_size=0", application_name="test", statement_timeout_s=0.5, pool_size=1
    )
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT current_setting('statement_timeout')")) == "500ms"
        assert await session.scalar(text("SELECT count(*) FROM pg_prepared_statements")) <= 1
    with pytest.raises(Unavailable):
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_sleep(30)"))
    await database.close()


async def test_connections_name_the_process_that_holds_them(postgres: str) -> None:
    database = Database(postgres, application_name="worker")
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT current_setting('application_name')")) == "worker"
    await database.close()


async def test_a_cancelled_task_gives_its_connection_back(postgres: str) -> None:
    database = Database(postgres, application_name="test", pool_size=1, max_overflow=0)
    started = asyncio.Event()

    async def sleep() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            started.set()
            await session.execute(text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(sleep())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.ping()
    await database.close()
