"""Object stores of every vendor: addresses in them, and their blocking calls in threads beside the event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

from configs.settings import StorageOptions
from deployments.errors import Unavailable
from serve_app.storage.gcs import GcsStore
from serve_app.storage.protocols import FirstChunk, ObjectStore, StoredObject
from serve_app.storage.s3 import S3Store

T = TypeVar("T")
Scheme = Literal["s3", "gs"]
SCHEMES: frozenset[str] = frozenset({"s3", "gs"})
PIECE_BYTES = 4 * 2**20
"""Size of one read. Most images are one piece. No connection is held while a slow client takes it."""

_MAX_NAME_BYTES = 1024
_URL = re.compile(r"(?i:(s3|gs))://([A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9])(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """Address of an object or a folder, `scheme://bucket/name`; the name may be empty."""

    scheme: Scheme
    bucket: str
    name: str

    @classmethod
    def parse(cls, url: str) -> Location:
        """Parse an address. The name is all that stands after the bucket: `?`, `#` and `%` mean nothing in it.

        Raises `ValueError`, also for a name with a part `.` or `..`: such a name is legal, but on the way some
        libraries resolve it like a path, into what may be another bucket.
        """
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError("not the address of a bucket: s3://bucket/name or gs://bucket/name")
        name = match[3] or ""
        if not name.isprintable() or len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
            raise ValueError("not the name of an object")
        if name.startswith("/") or not {".", ".."}.isdisjoint(re.split(r"[/\\]", name)):
            raise ValueError("not the name of an object")
        return cls(cast(Scheme, match[1].lower()), match[2], name)

    def holds(self, other: Location) -> bool:
        """Whether the other is this location or lies below it."""
        if (self.scheme, self.bucket) != (other.scheme, other.bucket):
            return False
        folder = self.name.rstrip("/")
        return not folder or other.name == folder or other.name.startswith(folder + "/")


def connect(scheme: Scheme, options: StorageOptions) -> ObjectStore:
    """Open a vendor's store without a call to it. Raises `Unavailable` when the vendor's library is not installed."""
    if scheme == "s3":
        return S3Store(options)
    return GcsStore(options)


class AsyncObjectStore:
    """An object store in threads of its own: as many calls at once as `options` say, each with a deadline.

    A call that hangs keeps its thread until the library's own timeouts end it; its caller gets `Unavailable` when the
    deadline comes.
    """

    def __init__(self, store: ObjectStore, options: StorageOptions) -> None:
        self._store = store
        self._deadline_s = options.deadline_s
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="object-store")

    @classmethod
    async def connect(cls, scheme: Scheme, options: StorageOptions) -> AsyncObjectStore:
        return cls(await asyncio.to_thread(connect, scheme, options), options)

    async def open(self, bucket: str, name: str, start: int = 0, stop: int | None = None) -> StoredObject:
        """Open an object, or its bytes from `start` to before `stop`, as a stream. Raises `NotFound`, `Unavailable`."""
        at_once = PIECE_BYTES if start == 0 else 1  # of another part, only the size and the version count
        first = await self._call(lambda: self._store.open(bucket, name, at_once))
        end = first.size if stop is None else min(stop, first.size)
        return StoredObject(first.size, self._pieces(bucket, name, first, start, end))

    async def get(self, bucket: str, name: str) -> bytes:
        return b"".join([piece async for piece in (await self.open(bucket, name)).chunks])

    async def put(self, bucket: str, name: str, source: bytes | Path, content_type: str, cache_control: str) -> None:
        await self._call(lambda: self._store.write(bucket, name, source, content_type, cache_control))

    async def exists(self, bucket: str, name: str) -> bool:
        return await self._call(lambda: self._store.exists(bucket, name))

    async def delete(self, bucket: str, name: str) -> None:
        await self._call(lambda: self._store.remove(bucket, name))

    async def sign(self, bucket: str, name: str, ttl_s: int) -> str:
        return await self._call(lambda: self._store.sign(bucket, name, ttl_s))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._store.close)

    async def _pieces(self, bucket: str, name: str, first: FirstChunk, place: int, end: int) -> AsyncIterator[bytes]:
        piece = first.data[:end] if place == 0 else b""
        while place < end:
            if not piece:
                stop = min(place + PIECE_BYTES, end)
                piece = await self._read(bucket, name, place, stop, first.version)
            place += len(piece)
            yield piece
            piece = b""

    async def _read(self, bucket: str, name: str, start: int, stop: int, version: str) -> bytes:
        piece = await self._call(lambda: self._store.read(bucket, name, start, stop, version))
        if len(piece) != stop - start:
            raise Unavailable("The storage returned less than it holds")
        return piece

    async def _call(self, call: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except TimeoutError as error:
            raise Unavailable("The storage took too long (DARKROOM_STORAGE__DEADLINE_S)") from error
