"""File storage in a local folder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import stat
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from deployments.errors import NotFound, Unavailable
from serve_app.storage.keys import is_key
from serve_app.storage.protocols import StoredObject, probe

CHUNK_BYTES = 256 * 1024
STALE_AFTER_S = 3600.0
"""Age in seconds at which a half-written file belongs to a process that died."""
_INCOMING = ".incoming"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

T = TypeVar("T")


class LocalStorage:
    """Storage of files under one folder; the key is the path. Safe for several processes at once.

    A file is written under another name, flushed to the disk and renamed, so that a key either has all of its bytes or
    does not exist. Folders stay when their last file goes: `content_key` bounds their number, and removing one would
    race with a process that is about to write into it.

    The folder is made when the storage is opened and never later: one that is gone then is a lost mount, and what it
    holds is out of reach, not deleted. `.incoming` tells it from the empty folder that an unmounted disk leaves behind.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING  # begins with a dot: no key can name it

    @classmethod
    async def at(cls, root: Path) -> LocalStorage:
        """Create the folder if need be, and remove what crashed processes left half-written."""
        storage = cls(root)
        await asyncio.to_thread(storage._prepare)
        return storage

    async def put(self, key: str, source: bytes | Path, content_type: str = "application/octet-stream") -> None:
        if not is_key(key):
            raise ValueError("not a storage key")
        await asyncio.to_thread(self._put, key, source)

    async def get(self, key: str) -> bytes:
        path = self._path(key)
        return await asyncio.to_thread(self._read, path.read_bytes)

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> StoredObject:
        path, size = await self._find(key)
        return StoredObject(size, self._chunks(path, start, size if stop is None else min(stop, size)))

    async def path(self, key: str) -> Path | None:
        path, _ = await self._find(key)
        return path

    async def exists(self, key: str) -> bool:
        return is_key(key) and await asyncio.to_thread(self._exists, key)

    async def delete(self, key: str) -> None:
        if is_key(key):
            await asyncio.to_thread(self._delete, key)

    async def url(self, key: str) -> str | None:
        return None

    async def check(self) -> None:
        await probe(self)

    async def close(self) -> None:
        """Do nothing: no file is kept open."""

    async def _find(self, key: str) -> tuple[Path, int]:
        """Find a file and its size in bytes. Raises `NotFound`."""
        path = self._path(key)
        found = await asyncio.to_thread(self._read, path.stat)
        if not stat.S_ISREG(found.st_mode):
            raise NotFound("No such file")
        return path, found.st_size

    def _path(self, key: str) -> Path:
        if not is_key(key):
            raise NotFound("No such file")
        return self._root / key

    def _prepare(self) -> None:
        with _translated():
            self._incoming.mkdir(parents=True, exist_ok=True)
            oldest = time.time() - STALE_AFTER_S
            for leftover in self._incoming.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if leftover.stat().st_mtime < oldest:
                        leftover.unlink()

    def _put(self, key: str, source: bytes | Path) -> None:
        path = self._root / key
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if _size(path) == size:
            return
        with _translated():
            self._require_folder()
            incoming = self._incoming / uuid.uuid4().hex
            try:
                _write_through(incoming, source)
                _move(incoming, path)
            finally:
                incoming.unlink(missing_ok=True)

    def _delete(self, key: str) -> None:
        with _translated():
            try:
                (self._root / key).unlink()
            except (FileNotFoundError, NotADirectoryError):
                self._require_folder()

    def _exists(self, key: str) -> bool:
        with _translated():
            if (self._root / key).is_file():
                return True
            self._require_folder()
            return False

    def _read(self, call: Callable[[], T]) -> T:
        """Make a call that reads. Raises `NotFound` for a missing file, `Unavailable` when all of them are missing."""
        with _translated():
            try:
                return call()
            except _MISSING as error:
                self._require_folder()
                raise NotFound("No such file") from error

    def _require_folder(self) -> None:
        """Raise `Unavailable` unless the folder is there as it was when the storage was opened."""
        if not self._incoming.is_dir():
            raise Unavailable("The storage folder is not there (DARKROOM_STORAGE_URL, DARKROOM_DATA_DIR)")

    async def _chunks(self, path: Path, start: int, stop: int) -> AsyncIterator[bytes]:
        file: BinaryIO = await asyncio.to_thread(self._read, lambda: path.open("rb"))
        with _translated():
            try:
                file.seek(start)
                while start < stop and (part := await asyncio.to_thread(file.read, min(CHUNK_BYTES, stop - start))):
                    start += len(part)
                    yield part
            finally:
                file.close()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _write_through(path: Path, source: bytes | Path) -> None:
    with path.open("xb") as file:
        if isinstance(source, bytes):
            file.write(source)
        else:
            with source.open("rb") as original:
                shutil.copyfileobj(original, file, CHUNK_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _move(incoming: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    incoming.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Translate the operating system's errors into `Unavailable`, with messages that name no path."""
    try:
        yield
    except OSError as error:
        reason = "is full" if error.errno in _FULL else "cannot be used"
        raise Unavailable(f"The storage {reason}") from error
