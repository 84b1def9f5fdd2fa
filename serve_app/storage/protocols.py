"""Protocols of the file storage and of the vendors' object stores below it, and the data that they hand out."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deployments.errors import Unavailable


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A stored object that was found, and its bytes as a stream."""

    size: int
    """Bytes of the whole object."""
    chunks: AsyncIterator[bytes]


class Storage(Protocol):
    """Storage of files under keys.

    All methods raise `errors.Unavailable` when the storage cannot be reached, is full or refuses.
    """

    async def put(self, key: str, source: bytes | Path, content_type: str = "application/octet-stream") -> None:
        """Store bytes, or a copy of a file. When it returns, a crash loses nothing. Raises `ValueError` for a bad key.

        `content_type` is for storages that serve objects themselves.
        """
        ...

    async def get(self, key: str) -> bytes:
        """Read a whole object. Raises `errors.NotFound`, also for a key that can never have existed."""
        ...

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> StoredObject:
        """Open an object, or its bytes from `start` to before `stop`, as a stream.

        Raises `errors.NotFound` before the first chunk, not in the middle of one.
        """
        ...

    async def path(self, key: str) -> Path | None:
        """Path of the object's file; None: it lies on no disk of this machine. Raises `errors.NotFound`."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether an object is stored under the key."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error."""
        ...

    async def url(self, key: str) -> str | None:
        """URL at which a client may fetch the object itself (public or signed); None: only through this server."""
        ...

    async def check(self) -> None:
        """Write, read and delete a few bytes, for readiness. Raises `errors.Unavailable` with the reason."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...


async def probe(storage: Storage) -> None:
    """Write, read and delete a few bytes. Raises `errors.Unavailable`."""
    key = f"check/{uuid.uuid4().hex}"
    await storage.put(key, b"ready")
    try:
        if await storage.get(key) != b"ready":
            raise Unavailable("The storage does not return what was stored")
    finally:
        await storage.delete(key)


@dataclass(frozen=True, slots=True)
class FirstChunk:
    """First bytes of an object and its total size."""

    size: int
    """Bytes of the whole object."""
    data: bytes
    version: str
    """Version that `ObjectStore.read` needs to go on with the same object."""


class ObjectStore(Protocol):
    """A vendor's library in blocking calls; any thread may make them.

    All raise `errors.Unavailable`, with a message that names the setting to look at and no host or key; those that read
    raise `errors.NotFound`.
    """

    def open(self, bucket: str, name: str, length: int) -> FirstChunk:
        """Read the first bytes, at most `length`."""
        ...

    def read(self, bucket: str, name: str, start: int, stop: int, version: str) -> bytes:
        """Read the bytes from `start` to before `stop`."""
        ...

    def write(self, bucket: str, name: str, source: bytes | Path, content_type: str, cache_control: str) -> None:
        """Write a whole object or nothing. An object of the same size is taken for the same and left alone."""
        ...

    def exists(self, bucket: str, name: str) -> bool:
        """Whether the bucket holds the object."""
        ...

    def remove(self, bucket: str, name: str) -> None:
        """Remove an object; a missing one is no error."""
        ...

    def sign(self, bucket: str, name: str, ttl_s: int) -> str:
        """Sign a URL that lets anybody read the object for `ttl_s` seconds."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
