"""Connections of the pool: lost ones are replaced unseen, and those in use are not asked whether they live."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deployments.errors import Unavailable
from serve_app.store import live_connections
from serve_app.store.live_connections import keep_live
from serve_app.store.session import Database


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
    with connection.query_logger(lambda record: sent.append(record.query.rstrip("; "))):
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
    assert "SELECT" in await queries_of_next_use(engine, connection)


async def test_a_connection_that_was_lost_without_a_word_is_replaced_when_it_is_asked(engine: AsyncEngine) -> None:
    keep_live(engine.sync_engine, trusted_s=0)
    lost = await use(engine)
    lost._transport.abort()  # the driver hears of it in the next turn of the loop
    assert await use(engine) is not lost


async def test_a_server_that_does_not_write_any_more_is_unavailable_and_left(postgres: str) -> None:
    database = Database(postgres, application_name="test", pool_size=1, max_overflow=0)
    write = text("DELETE FROM jobs WHERE id = 'nobody''s'")
    async with database.transaction() as session:  # as a server that has become another's standby
        await session.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    with pytest.raises(Unavailable):
        async with database.transaction() as session:
            await session.execute(write)
    async with database.transaction() as session:
        await session.execute(write)
    await database.close()


class Firewall:
    """Passes bytes on to the server of a socket, until it drops those of the connections that there are."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_cut = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.has_dropped = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_cut = self._is_cut
        to, answers = await asyncio.open_unix_connection(self._path), writer
        ways = [asyncio.create_task(self._pass(*way, is_cut)) for way in ((reader, to[1]), (to[0], answers))]
        self._tasks.update(ways)
        await asyncio.wait(ways)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_cut: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if is_cut.is_set():
                    self.has_dropped.set()
                else:
                    writer.write(data)
        writer.close()

    def cut(self) -> None:
        """Drop from now on what goes through the connections that there are, without a word."""
        self._is_cut.set()
        self._is_cut = asyncio.Event()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def firewall(postgres: str) -> AsyncIterator[Firewall]:
    folder = make_url(postgres).query["host"]
    made = Firewall(f"{folder}/.s.PGSQL.5432")
    server = await asyncio.start_server(made, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await made.close()


@pytest.fixture
async def guarded(postgres: str, firewall: Firewall) -> AsyncIterator[AsyncEngine]:
    """An engine behind the firewall, which asks each time."""
    through = make_url(postgres).set(host="127.0.0.1", port=firewall.port).difference_update_query(["host"])
    made = create_async_engine(through, pool_size=1, max_overflow=0)
    keep_live(made.sync_engine, trusted_s=0)
    yield made
    await made.dispose()


async def test_a_connection_that_a_firewall_has_cut_off_is_waited_for_a_moment_only(
    guarded: AsyncEngine, firewall: Firewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = await use(guarded)
    assert await use(guarded) is lost
    firewall.cut()
    monkeypatch.setattr(live_connections, "_ANSWER_S", 0.1)
    assert await asyncio.wait_for(use(guarded), 20) is not lost


async def test_who_is_cancelled_while_a_connection_is_asked_leaves_its_place_to_others(
    guarded: AsyncEngine, firewall: Firewall
) -> None:
    lost = await use(guarded)
    firewall.cut()
    asking = asyncio.create_task(use(guarded))
    await asyncio.wait_for(firewall.has_dropped.wait(), 20)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.wait_for(use(guarded), 20) is not lost


async def test_the_kernel_gives_up_a_connection_whose_other_side_is_gone(guarded: AsyncEngine) -> None:
    own = (await use(guarded))._transport.get_extra_info("socket")
    assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
