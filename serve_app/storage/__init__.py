"""Where the bytes of pictures lie: one small protocol, an implementation a place.

An object is written once under a key that names its content and is never changed afterwards, so putting it again is
harmless and anybody may keep a copy.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from configs.settings import Settings
from deployments.errors import Unavailable

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}){0,7}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is there, and a way to read it piece by piece."""

    size: int
    """Bytes."""
    chunks: AsyncIterator[bytes]


class Storage(Protocol):
    """All methods raise `errors.Unavailable` when the place cannot be reached, is full or refuses."""

    async def put(self, key: str, source: bytes | Path, content_type: str = "application/octet-stream") -> None:
        """Store bytes, or a copy of a file. When it returns, a crash loses nothing. Raises `ValueError` for a bad key.

        `content_type` is for places that serve objects themselves.
        """
        ...

    async def get(self, key: str) -> bytes:
        """Raises `errors.NotFound`, also for a key that can never have existed."""
        ...

    async def open(self, key: str) -> StoredObject:
        """Raises `errors.NotFound` before the first piece, not in the middle of an answer."""
        ...

    async def exists(self, key: str) -> bool: ...

    async def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""
        ...

    async def url(self, key: str) -> str | None:
        """Where a client may fetch the object itself (public or signed); None: only through this server."""
        ...

    async def check(self) -> None:
        """Write, read and delete a few bytes. For readiness: raises `errors.Unavailable` with the reason."""
        ...

    async def close(self) -> None: ...


def is_key(text: str) -> bool:
    """Whether a text may be a key: up to eight names of ASCII letters, digits and `._-`, none beginning with a dot."""
    return _KEY.fullmatch(text) is not None


def content_key(kind: str, sha256: str, suffix: str = "") -> str:
    """`originals/ab/cd/abcd...`: the key of an object named by the hash of its content, or of what it was made from."""
    key = f"{kind}/{sha256[:2]}/{sha256[2:4]}/{sha256}{suffix}"
    if not is_key(key):
        raise ValueError("not the parts of a key")
    return key


async def try_out(storage: Storage) -> None:
    """Write, read and delete a few bytes. Raises `errors.Unavailable`."""
    key = f"check/{uuid.uuid4().hex}"
    await storage.put(key, b"ready")
    try:
        if await storage.get(key) != b"ready":
            raise Unavailable("The storage does not return what was stored")
    finally:
        await storage.delete(key)


async def open_storage(url: str | None, settings: Settings) -> Storage:
    """The place that an address names: `file:///folder`, `s3://bucket/folder`, `gs://bucket/folder`, or None for
    `data_dir/files`.

    Raises `ValueError` for another address, `errors.Unavailable` when the place or what it takes cannot be had.
    """
    from serve_app.storage.bucket import BucketStorage  # which are written in terms of this module
    from serve_app.storage.local import LocalStorage

    parts = urlsplit(url or "")
    if parts.scheme in ("s3", "gs"):
        try:
            return await BucketStorage.at(str(url), settings.storage)
        except ValueError as error:
            raise ValueError(f"storage_url is {error}") from error
    if settings.storage.urls != "server":
        raise ValueError(f"storage.urls={settings.storage.urls} needs a storage_url with s3:// or gs://")
    if url is None:
        return await LocalStorage.at(settings.data_dir / "files")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return await LocalStorage.at(Path(unquote(parts.path)))
    raise ValueError(
        f"storage_url must look like file:///folder, s3://bucket/folder or gs://bucket/folder, not {parts.scheme}:"
    )
