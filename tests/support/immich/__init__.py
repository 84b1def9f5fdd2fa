"""Requests as Node's `fetch` writes them, which Immich's server uses, recorded by `record.mjs` (Node 24)."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from http.client import HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    """What came back for recorded bytes."""

    status: int
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def recorded(name: str) -> bytes:
    """Read a recorded request."""
    return (FOLDER / f"{name}.http").read_bytes()


async def replay(url: str, *names: str) -> list[Answer]:
    """Send recorded requests one after another over one connection, as `fetch` does. -> their answers"""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    try:
        return [await _ask(reader, writer, recorded(name)) for name in names]
    finally:
        writer.close()
        await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Answer:
    writer.write(request)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    response = HTTPResponse(_Received(head))  # type: ignore[arg-type]
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    body = await reader.readexactly(int(headers["content-length"]))
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return Answer(response.status, headers, body)


class _Received:
    """Bytes in the place of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._data)
