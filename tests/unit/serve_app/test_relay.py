"""The relay in front of Serve's proxy: bytes go through unchanged, and an end on one side is an end on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from serve_app.relay import Relay

ConnectionHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE_S = 10.0


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def _relay_to(handler: ConnectionHandler, max_connections: int = 10) -> AsyncIterator[int]:
    """The port of a relay to a server of that behaviour."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    relay = Relay("127.0.0.1", server.sockets[0].getsockname()[1], max_connections)
    port = await _start(relay)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield port
    finally:
        await relay.stop()
        server.close()


async def _start(relay: Relay) -> int:
    probe = await asyncio.start_server(_echo, "127.0.0.1", 0)
    port = int(probe.sockets[0].getsockname()[1])
    probe.close()
    await probe.wait_closed()
    await relay.start("127.0.0.1", port)
    return port


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def test_bytes_beyond_a_buffer_go_through_and_back_unchanged() -> None:
    sent = bytes(range(256)) * 20_000
    async with _relay_to(_echo) as port:
        reader, writer = await _connect(port)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent
        writer.close()


async def test_an_answer_still_comes_after_the_client_has_finished_sending() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = await reader.read()
        writer.write(b"heard " + heard)
        writer.close()

    async with _relay_to(answer_at_the_end) as port:
        reader, writer = await _connect(port)
        writer.write(b"this")
        writer.write_eof()
        assert await reader.read() == b"heard this"
        writer.close()


async def test_a_client_that_breaks_off_is_gone_for_the_server_too() -> None:
    ended = asyncio.Event()

    async def note_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionError:
            pass
        ended.set()
        writer.close()

    async with _relay_to(note_the_end) as port:
        _, writer = await _connect(port)
        writer.write(b"half a requ")
        await writer.drain()
        writer.transport.abort()
        await ended.wait()


async def test_a_server_that_closes_ends_the_clients_connection() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with _relay_to(close) as port:
        reader, writer = await _connect(port)
        assert await reader.read() == b""
        writer.close()


async def test_without_a_server_behind_it_the_connection_ends_at_once() -> None:
    nobody = await asyncio.start_server(_echo, "127.0.0.1", 0)
    relay = Relay("127.0.0.1", nobody.sockets[0].getsockname()[1])
    nobody.close()
    await nobody.wait_closed()
    port = await _start(relay)
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await _connect(port)
        assert await reader.read() == b""
        writer.close()
    await relay.stop()


async def test_one_connection_too_many_is_refused_and_a_free_place_is_used_again() -> None:
    async with _relay_to(_echo, max_connections=1) as port:
        first_reader, first = await _connect(port)
        first.write(b"in")
        assert await first_reader.read(2) == b"in"
        reader, refused = await _connect(port)
        assert await reader.read() == b""
        refused.close()

        first.write_eof()
        assert await first_reader.read() == b""
        first.close()
        while True:  # the place is free a moment after its connection ended
            reader, writer = await _connect(port)
            writer.write(b"next")
            heard = await _heard(reader)
            writer.close()
            if heard == b"next":
                break


async def _heard(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(4)
    except ConnectionError:
        return b""


async def test_stopping_the_relay_closes_all_connections() -> None:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    relay = Relay("127.0.0.1", server.sockets[0].getsockname()[1])
    port = await _start(relay)
    reader, writer = await _connect(port)
    writer.write(b"hello")
    assert await reader.read(5) == b"hello"
    async with asyncio.timeout(PATIENCE_S):
        await relay.stop()
        assert await reader.read() == b""
    writer.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        await _connect(port)


async def test_a_taken_port_is_refused() -> None:
    taken = await asyncio.start_server(_echo, "127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await Relay("127.0.0.1", 1).start("127.0.0.1", taken.sockets[0].getsockname()[1])
    taken.close()


async def test_a_new_relay_may_listen_before_the_old_one_stops() -> None:
    async with _relay_to(_echo) as port:
        successor = Relay("127.0.0.1", 1)
        await successor.start("127.0.0.1", port)
        await successor.stop()
