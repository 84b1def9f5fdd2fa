"""File storage in a bucket of an object store."""

from __future__ import annotations

from pathlib import Path

from configs.settings import StorageOptions
from deployments.errors import NotFound
from serve_app.storage.keys import is_key
from serve_app.storage.object_store import AsyncObjectStore, Location
from serve_app.storage.protocols import StoredObject, probe


class BucketStorage:
    """Storage below one folder of a bucket: an object's name is the folder and the key. Safe for several processes.

    The vendors write whole objects or none. Opening the storage does not look at the bucket, so a server starts while
    its store is away; what is wrong shows in `check`.
    """

    def __init__(self, store: AsyncObjectStore, place: Location, options: StorageOptions) -> None:
        self._store = store
        self._bucket = place.bucket
        self._folder = f"{place.name.rstrip('/')}/" if place.name else ""
        self._options = options
        readers = "public" if options.urls == "public" else "private"
        self._cache_control = f"{readers}, max-age=31536000, immutable"

    @classmethod
    async def at(cls, url: str, options: StorageOptions) -> BucketStorage:
        """Open the storage at an address.

        Raises `ValueError` for an address that is none, `Unavailable` when the vendor's library is missing.
        """
        place = Location.parse(url)
        return cls(await AsyncObjectStore.connect(place.scheme, options), place, options)

    async def put(self, key: str, source: bytes | Path, content_type: str = "application/octet-stream") -> None:
        if not is_key(key):
            raise ValueError("not a storage key")
        await self._store.put(self._bucket, self._folder + key, source, content_type, self._cache_control)

    async def get(self, key: str) -> bytes:
        return await self._store.get(self._bucket, self._name(key))

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> StoredObject:
        return await self._store.open(self._bucket, self._name(key), start, stop)

    async def path(self, key: str) -> Path | None:
        return None

    async def exists(self, key: str) -> bool:
        return is_key(key) and await self._store.exists(self._bucket, self._folder + key)

    async def delete(self, key: str) -> None:
        if is_key(key):
            await self._store.delete(self._bucket, self._folder + key)

    async def url(self, key: str) -> str | None:
        if self._options.urls == "server":
            return None
        name = self._name(key)
        if self._options.urls == "public":
            return f"{self._options.public_base_url}/{key}"
        return await self._store.sign(self._bucket, name, self._options.url_ttl_s)

    async def check(self) -> None:
        await probe(self)

    async def close(self) -> None:
        await self._store.close()

    def _name(self, key: str) -> str:
        if not is_key(key):
            raise NotFound("No such file")
        return self._folder + key
