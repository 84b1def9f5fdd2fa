"""Reading of images that clients name as `s3://bucket/key` or `gs://bucket/key`.

The server reads with its own credentials, so a client could reach whatever these reach: only places that the operator
has named are read. The server's own storage is refused even then: it holds the images of all users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from configs.settings import Settings
from deployments.errors import ImageError, NotFound, Unavailable, image_error
from serve_app.storage.object_store import SCHEMES, AsyncObjectStore, Location, Scheme


def names_object(ref: str) -> bool:
    """Whether a reference names an object in a bucket, for `BucketFetcher` to read."""
    return ref.partition("://")[0].lower() in SCHEMES


class BucketFetcher:
    """Reader of allowed buckets. Connects to a vendor on first use, in threads apart from the storage's.

    Close it when done.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `ValueError` for a setting that names no bucket."""
        try:
            self._allowed = [Location.parse(url) for url in settings.fetch.allowed_buckets]
        except ValueError as error:
            raise ValueError(f"fetch.allowed_buckets: {error}") from error
        own = settings.storage_url
        self._own = Location.parse(own) if own is not None and names_object(own) else None
        self._max_bytes = settings.limits.max_file_bytes
        self._options = settings.storage.model_copy(update={"concurrency": settings.fetch.concurrency})
        self._stores: dict[Scheme, AsyncObjectStore] = {}
        self._connecting = asyncio.Lock()

    async def fetch(self, ref: str) -> bytes:
        """Read the file.

        Raises `ImageError`: `forbidden_address`, `not_found`, `too_large` (before it is read), `empty`, and
        `fetch_failed` for everything else.
        """
        place = self._check(ref)
        try:
            store = await self._store(place.scheme)
            stored = await store.open(place.bucket, place.name)
            if stored.size > self._max_bytes:
                raise image_error("too_large", f"The file has more than {self._max_bytes} bytes")
            data = b"".join([piece async for piece in stored.chunks])
        except NotFound as error:
            raise image_error("not_found", "The bucket has no such file") from error
        except Unavailable as error:  # whose message is meant for the operator
            raise image_error("fetch_failed", "The bucket cannot be read at the moment") from error
        if not data:
            raise image_error("empty", "The file is empty")
        return data

    async def close(self) -> None:
        for store in self._stores.values():
            await store.close()

    def _check(self, ref: str) -> Location:
        try:
            place = Location.parse(ref)
        except ValueError as error:
            raise _forbidden("The address names no file that may be read") from error
        if not place.name or not _holds(self._allowed, place):
            raise _forbidden("This server may not read from that bucket")
        if self._own is not None and self._own.holds(place):
            raise _forbidden("The storage of this server is not read by address: name the image by its id or url")
        return place

    async def _store(self, scheme: Scheme) -> AsyncObjectStore:
        async with self._connecting:
            if scheme not in self._stores:
                self._stores[scheme] = await AsyncObjectStore.connect(scheme, self._options)
            return self._stores[scheme]


def _holds(places: Sequence[Location], place: Location) -> bool:
    return any(allowed.holds(place) for allowed in places)


def _forbidden(message: str) -> ImageError:
    return image_error("forbidden_address", message)
