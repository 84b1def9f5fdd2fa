"""TCP relay from the HTTP port of the settings to Serve's proxy.

`serve run` takes the proxy's port from its YAML file only; the relay makes `DARKROOM_HTTP_PORT` work there.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from contextlib import closing

_CHUNK = 2**16
_MAX_CONNECTIONS = 512


class Relay:
    """Relays connections to one target, a limited number at once."""

    def __init__(self, target_host: str, target_port: int, max_connections: int = _MAX_CONNECTIONS) -> None:
        self._target = (target_host, target_port)
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `OSError` when the port is taken by anything but another relay.

        A relay that is being replaced may listen beside its successor for a moment.
        """
        self._server = await asyncio.start_server(self._accept, host, port, reuse_port=True)

    async def stop(self) -> None:
        """Accept nothing more and close all connections."""
        if self._server:
            self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        with closing(writer):
            if task is None or len(self._connections) >= self._max_connections:
                return
            self._connections.add(task)
            try:
                await _connect(reader, writer, self._target)
            finally:
                self._connections.discard(task)


async def _connect(reader: StreamReader, writer: StreamWriter, target: tuple[str, int]) -> None:
    """Copy bytes both ways until both sides have finished, or one of them breaks off."""
    try:
        other_reader, other_writer = await asyncio.open_connection(*target)
        with closing(other_writer):
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, other_writer))
                group.create_task(_copy(other_reader, writer))
    except* OSError:
        pass  # the side that is left sees its connection end


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
