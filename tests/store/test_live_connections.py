"""Connections of the pool: lost ones are replaced unseen, and those in use are not asked whether they live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from serve_app.store.live_connections import keep_live


@pytest.fixture
async def engine(postgres: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(postgres, pool_size=1)
    yield made
    await made.dispose()


async def use(engine: AsyncEngine) -> Any:
    """Run a transaction. -> the driver's connection that it was run on"""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
        raw = await connection.get_raw_connection()
        return raw.driver_connection


async def queries_of_next_use(engine: AsyncEngine, connection: Any) -> list[str]:
    sent: list[str] = []
    with connection.query_logger(lambda record: sent.append(record.query.rstrip("; ") or ";")):
        assert await use(engine) is connection
    return sent


async def test_a_connection_that_the_server_has_closed_is_replaced_unseen(engine: AsyncEngine) -> None:
    keep_live(engine.sync_engine)
    lost = await use(engine)
    closed = asyncio.Event()
    lost.add_termination_listener(lambda _: closed.set())
    other = create_async_engine(engine.url)
    async with other.begin() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": lost.get_server_pid()})
    await other.dispose()
    async with asyncio.timeout(30):
        await closed.wait()
    assert await use(engine) is not lost


async def test_a_connection_that_was_used_just_now_is_not_asked(engine: AsyncEngine) -> None:
    keep_live(engine.sync_engine, trusted_s=60)
    connection = await use(engine)
    assert await queries_of_next_use(engine, connection) == ["BEGIN", "COMMIT"]  # besides what is prepared


async def test_a_connection_that_was_idle_is_asked_before_it_is_used(engine: AsyncEngine) -> None:
    keep_live(engine.sync_engine, trusted_s=0)
    connection = await use(engine)
    assert ";" in await queries_of_next_use(engine, connection)


async def test_a_connection_that_was_lost_without_a_word_is_replaced_when_it_is_asked(engine: AsyncEngine) -> None:
    keep_live(engine.sync_engine, trusted_s=0)
    lost = await use(engine)
    lost._transport.abort()  # the driver hears of it in the next turn of the loop
    assert await use(engine) is not lost
