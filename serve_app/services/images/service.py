"""Images as clients see them: upload, read, delete."""

from __future__ import annotations

import mimetypes
import os
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from configs.settings import Settings
from deployments.contracts.pictures import Capture
from deployments.errors import NotFound
from serve_app.services.images.face_crops import Box, FaceCrop, FaceCrops
from serve_app.services.images.names import storable_name
from serve_app.services.images.store import UPLOADS, ImageStore, Readable, original_key
from serve_app.services.images.thumbnails import Format, Thumbnail, Thumbnails
from serve_app.storage import Storage
from serve_app.store.repositories import albums, images
from serve_app.store.repositories.images import StoredImage
from serve_app.store.session import Database

_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/heic": ".heic",
    "image/heif": ".heif",
    "image/avif": ".avif",
    "image/webp": ".webp",
}
_SHOWN_SIZES = (256, 1024)
"""Thumbnails that an image's description names: of a grid, and of a screen."""
_ABANDONED_S = 3600.0
"""Age in seconds at which the folder of an upload belongs to a process that was killed: no request may last as long."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a photograph was taken, degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class ImageView:
    """A stored image as clients know it."""

    id: str
    key: str
    """Name under which `/files` serves it: id and name ending."""
    sha256: str
    content_type: str
    width: int
    height: int
    bytes: int
    filename: str | None
    created_at: datetime
    taken_at: datetime | None
    """On the camera's clock: with its time zone where that is known, else without one."""
    camera: str | None
    place: Place | None
    trashed_at: datetime | None
    thumbnails: dict[str, str]
    """Pixels of the longer side -> key and query of a thumbnail."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file that this server serves."""

    content_type: str
    size: int
    """Bytes."""
    tag: str
    """Names the bytes, for good."""
    created_at: datetime
    """When the user's image came."""
    path: Path | None
    """The file itself, if it lies on this machine."""
    open: Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
    """Opens the bytes from a first to before a last one. Raises `NotFound`."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A file that the object store serves itself."""

    tag: str
    """Names the bytes, for good."""
    url: str
    fresh_s: int
    """Seconds for which the URL is sure to work."""


def image_id_of(key: str) -> str:
    """Parse the image id in a file key; the ending is for people and their programs."""
    return key.partition(".")[0]


def view_of(image: StoredImage) -> ImageView:
    """Describe a stored image as clients know it."""
    content = image.content
    capture = image.capture
    ending = _EXTENSIONS.get(content.content_type) or mimetypes.guess_extension(content.content_type) or ""
    key = image.id + ending
    return ImageView(
        id=image.id,
        key=key,
        sha256=content.sha256,
        content_type=content.content_type,
        width=content.width,
        height=content.height,
        bytes=content.size_bytes,
        filename=image.filename,
        created_at=image.created_at,
        taken_at=capture.local_time,
        camera=capture.camera,
        place=_place(capture),
        trashed_at=image.trashed_at,
        thumbnails={str(size): f"{key}?size={size}" for size in _SHOWN_SIZES},
    )


def _place(capture: Capture) -> Place | None:
    if capture.latitude is None or capture.longitude is None:
        return None
    return Place(capture.latitude, capture.longitude)


def remove_abandoned_uploads() -> None:
    """Remove the temporary folders of uploads that this account's killed processes left behind."""
    oldest = time.time() - _ABANDONED_S
    for folder in Path(tempfile.gettempdir()).glob(f"{UPLOADS}*"):
        with suppress(OSError):  # it went by itself
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and found.st_mtime < oldest:
                shutil.rmtree(folder)


class ImageService:
    """Use cases of images. Another user's image is answered like one that does not exist."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        pictures: ImageStore,
        thumbnails: Thumbnails,
        crops: FaceCrops,
        settings: Settings,
    ) -> None:
        self._database = database
        self._storage = storage
        self._pictures = pictures
        self._thumbnails = thumbnails
        self._crops = crops
        self._url_ttl_s = settings.storage.url_ttl_s

    async def upload(
        self, user_id: str, filename: str | None, source: Readable, *, temporary: bool = False
    ) -> ImageView:
        """Store one image. Raises `ImageError` with the code of its rejection."""
        async with self._pictures.received(source) as file:
            return view_of(
                await self._pictures.add(user_id, file, filename=storable_name(filename), temporary=temporary)
            )

    async def get(self, user_id: str, image_id: str) -> ImageView:
        return view_of(await self._find(user_id, image_id))

    async def open_file(self, user_id: str, key: str, thumbnail: Thumbnail | None = None) -> FileContent | Elsewhere:
        """Open a stored file, or a thumbnail or a face of it. Raises `NotFound`."""
        image = await self._find(user_id, image_id_of(key))
        content = image.content
        if thumbnail is None:
            stored, size, tag, kind = original_key(content.sha256), content.size_bytes, "", content.content_type
        else:
            maker = self._crops if isinstance(thumbnail, FaceCrop) else self._thumbnails
            stored, size = await maker.find_or_make(content, thumbnail)
            tag, kind = f"-{thumbnail.name}", f"image/{thumbnail.format}"
        if url := await self._storage.url(stored):
            return Elsewhere(content.sha256 + tag, url, self._url_ttl_s // 2)
        path = await self._storage.path(stored)
        return FileContent(kind, size, content.sha256 + tag, image.created_at, path, partial(self._open, stored))

    async def open_face(
        self, user_id: str, image_id: str, face_id: int, box: Box, size: int, form: Format
    ) -> FileContent | Elsewhere:
        """Open a crop of a face of an image; `box` in shares of its width and height. Raises `NotFound`."""
        return await self.open_file(user_id, image_id, FaceCrop(size, form, face_id, box))

    async def _open(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        return (await self._storage.open(key, start, stop)).chunks

    async def delete(self, user_id: str, image_id: str) -> None:
        """Delete an image, from every album too, with vectors and faces unless another album has the same file content.

        The bytes go when no image holds them any more. Raises `NotFound`; `Unavailable`, and nothing is deleted, while
        the storage is away.
        """
        await self._pictures.exists((await self._find(user_id, image_id)).content)
        async with self._database.transaction() as session:
            image = await images.get(session, user_id, image_id)
            if image is None or not await images.remove(session, user_id, image_id):
                raise _no_image(image_id)
            await albums.delete_orphaned(session, [image.content.sha256])
        await self._pictures.collect_unused()

    async def _find(self, user_id: str, image_id: str) -> StoredImage:
        async with self._database.transaction() as session:
            image = await images.get(session, user_id, image_id)
        if image is None:
            raise _no_image(image_id)
        return image


def _no_image(image_id: str) -> NotFound:
    return NotFound(f"There is no image '{image_id}'.")
