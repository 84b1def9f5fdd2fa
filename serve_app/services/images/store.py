"""Image files in storage: validated once, stored once under the hash of their content, with a preview of each.

Analyses decode the preview, never the original.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from configs.settings import Settings
from deployments.algorithms.images.capture import read_capture
from deployments.algorithms.images.decoding import (
    ImageInfo,
    ImageLimits,
    decode,
    encode_jpeg,
    inspect,
    read_picture,
)
from deployments.algorithms.images.frames import ImageFrames
from deployments.algorithms.images.identity import describe_shown
from deployments.algorithms.images.previews import decode_preview
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.albums import Shown
from deployments.contracts.arrays import Image
from deployments.contracts.pictures import Capture
from deployments.errors import image_error
from deployments.kit.threads import Threads, to_its_end
from serve_app.services.quotas import check_images, limits_images
from serve_app.storage import Storage, content_key
from serve_app.store.repositories import albums, derived_files, images
from serve_app.store.repositories.images import Content, NewImage, StoredImage
from serve_app.store.session import Database

T = TypeVar("T")
UPLOADS = "darkroom-upload-"
"""Prefix of the temporary folders of uploads."""
_READ_BYTES = 2**18
_HELD_BYTES = 2**20
"""Size up to which an upload is received into memory, where its form has it too (`MultiPartParser.spool_max_size`)."""
RESULT_QUALITY = 95
"""JPEG quality of images that jobs made: no visible loss at a fifth of a PNG's bytes."""


class Readable(Protocol):
    """An upload in progress."""

    async def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class FetchedFor:
    """The album item that an image was fetched for, and its URL."""

    album_id: str
    item_id: int
    url: str


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A complete file, not validated yet: its content, or the path where the receiver keeps it."""

    source: bytes | Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A file that this server encoded, with its pixels, so that storing it needs no decoding."""

    data: bytes
    pixels: Image | None
    """Upright, transparency on white, longest side at least `limits.preview_px`; None: the file is no larger."""


def original_key(sha256: str) -> str:
    return content_key("originals", sha256)


def preview_key(sha256: str) -> str:
    return content_key("previews", sha256, ".jpg")


def derived_key(sha256: str, name: str) -> str:
    """Key of a file that was made of a content: of a thumbnail."""
    return content_key("thumbnails", sha256, f"-{name}")


class ImageStore:
    """Stores image files with their rows, and decodes them for the models."""

    def __init__(self, database: Database, storage: Storage, settings: Settings) -> None:
        self._database = database
        self._storage = storage
        self._quotas = settings.quotas
        self._preview_px = settings.limits.preview_px
        self._limits = ImageLimits.of(settings.limits)
        self._threads = Threads(settings.runtime.decode_threads)

    @asynccontextmanager
    async def received(self, source: Readable) -> AsyncIterator[ReceivedFile]:
        """Receive an upload, hashed on the way, and keep it until the block ends: a small one in memory, a large one in
        a temporary folder. Raises `ImageError` `too_large` or `empty`."""
        digest, size, held, file = hashlib.sha256(), 0, b"", None
        with ExitStack() as stack:
            while data := await source.read(_READ_BYTES):
                size += len(data)
                if size > self._limits.max_file_bytes:
                    raise image_error("too_large", f"The file has more than {self._limits.max_file_bytes} bytes")
                digest.update(data)
                if size <= _HELD_BYTES:
                    held += data
                    continue
                if file is None:
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=UPLOADS))
                    file = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, delete=False))
                    await asyncio.to_thread(file.write, held)
                await asyncio.to_thread(file.write, data)
            if size == 0:
                raise image_error("empty", "The file is empty")
            if file is not None:
                file.close()
            yield ReceivedFile(held if file is None else Path(file.name), digest.hexdigest(), size)

    async def add(
        self,
        user_id: str,
        file: ReceivedFile,
        *,
        filename: str | None = None,
        fetched_for: FetchedFor | None = None,
        temporary: bool = False,
    ) -> StoredImage:
        """Validate by decoding, store the bytes, write the rows.

        A temporary image expires by itself. A fetched one is attached to its item, unless another job was quicker: then
        that job's image is returned.
        Raises `ImageError` for an unusable file, `NotFound` when the item it was fetched for is gone.
        """
        await self.check_quota(user_id, file.size_bytes)

        def read() -> tuple[ImageInfo, Image, Capture]:
            info, pixels = read_picture(file.source, self._preview_px, self._limits)
            return info, pixels, read_capture(file.source, info.content_type)

        info, pixels, capture = await self.run_in_thread(read)
        return await self._keep(user_id, file, info, pixels, filename, fetched_for, temporary, capture)

    async def check_quota(self, user_id: str, more_bytes: int) -> None:
        """Check that the user may store another image. Raises `ImageQuotaExceeded`."""
        if not limits_images(self._quotas):
            return
        async with self._database.transaction() as session:
            await check_images(session, self._quotas, user_id, more_bytes)

    async def _keep(
        self,
        user_id: str,
        file: ReceivedFile,
        info: ImageInfo,
        preview: Image | None,
        filename: str | None,
        fetched_for: FetchedFor | None,
        temporary: bool,
        capture: Capture,
    ) -> StoredImage:
        """`preview`: pixels of at most `limits.preview_px`, needed where the file has more. Raises `NotFound`."""
        has_preview = max(info.width, info.height) > self._preview_px
        content = Content(
            file.sha256, file.size_bytes, info.content_type, info.width, info.height, has_preview=has_preview
        )
        await self._announce(content)
        put = partial(self._put_files, file, info.content_type, preview if has_preview else None)
        new = NewImage(content, filename, fetched_for.url if fetched_for else None, temporary, capture)
        try:
            await to_its_end(put())
            async with self._database.transaction() as session:
                image_id = (
                    await albums.lock_item(session, fetched_for.album_id, fetched_for.item_id) if fetched_for else None
                )
                if image_id is None:
                    [added] = await images.add(session, user_id, [new])
                    image_id = added.id
                    if added.check_file and not await self._storage.exists(original_key(file.sha256)):
                        await to_its_end(put())  # a collector was quicker
                    if fetched_for:
                        await albums.attach_image(session, fetched_for.item_id, image_id)
                stored = await images.get(session, user_id, image_id)
        except BaseException:
            # A collector may have taken the announcement before the file was there: make it known again.
            await asyncio.shield(self._announce(content))
            raise
        if stored is None:
            raise RuntimeError("an image vanished in the transaction that added it")
        return stored

    async def preview(self, content: Content) -> Image:
        """Decode the preview: upright, `uint8[H, W, 3]`, longest side at most `limits.preview_px`."""
        if not content.has_preview:
            return await self.load(content, self._preview_px)
        data = await self._storage.get(preview_key(content.sha256))
        return await self.run_in_thread(lambda: decode_preview(data, self._preview_px))

    async def load(self, content: Content, max_px: int) -> Image:
        """Decode the original: upright, `uint8[H, W, 3]`, longest side at most `max_px`. Raises `ImageError`."""
        data = await self.read(content)
        return await self.run_in_thread(lambda: decode(data, max_px, self._limits))

    async def process_original(self, content: Content, work: Callable[[Image], T]) -> T:
        """Apply `work` to the upright image at full size. Raises `ImageError`.

        Decoding and work share a thread: of images that take 180 MB only those that are worked on are in memory.
        """
        data = await self.read(content)
        return await self.run_in_thread(lambda: work(decode(data, max(content.width, content.height), self._limits)))

    async def store_result(self, user_id: str, image: Image, filename: str) -> StoredImage:
        """Store pixels that a job made as an image of the user's: a JPEG without colour subsampling, temporary."""
        data = await self.run_in_thread(lambda: encode_jpeg(image, RESULT_QUALITY))
        return await self.store_file(user_id, EncodedImage(data, image), filename)

    async def store_file(
        self, user_id: str, file: EncodedImage, filename: str | None = None, *, max_bytes: int | None = None
    ) -> StoredImage:
        """Store a file that a job made as an image of the user's, without decoding it.

        Temporary until the job has succeeded (`history.record_success`): nothing would find and delete the files of a
        job that is cancelled or repeated. `max_bytes`: any number by default, since a PNG may have more than its
        original. Raises `ImageError` for more bytes, or more pixels than an upload may have.
        """
        await self.check_quota(user_id, len(file.data))
        received, info, preview = await self.run_in_thread(lambda: self._describe(file, max_bytes))
        return await self._keep(user_id, received, info, preview, filename, None, True, Capture())

    def _describe(self, file: EncodedImage, max_bytes: int | None) -> tuple[ReceivedFile, ImageInfo, Image | None]:
        """Hash, type and size of the file, the last two from its header, and its preview."""
        size = len(file.data)
        limits = replace(self._limits, max_file_bytes=size if max_bytes is None else max_bytes)
        info = inspect(file.data, replace(limits, max_decoding_bytes=sys.maxsize))  # made here: not decoded
        if file.pixels is None and max(info.width, info.height) > self._preview_px:
            raise ValueError(f"a file of {info.width}x{info.height} came without the pixels for its preview")
        preview = None if file.pixels is None else shrink(file.pixels, self._preview_px)
        return ReceivedFile(file.data, hashlib.sha256(file.data).hexdigest(), size), info, preview

    async def shown(self, content: Content) -> Shown:
        """All that the file shows; computed once for a content. Raises `ImageError`, `NotFound`."""
        if content.pixel_sha256 and content.frames and content.bits and content.has_alpha is not None:
            return Shown(content.pixel_sha256, content.frames, content.bits, content.has_alpha)
        data = await self.read(content)
        shown = await self._threads.run_cancellable(partial(describe_shown, data, self._limits))
        async with self._database.transaction() as session:
            await images.describe_content(session, content.sha256, shown=shown)
        return shown

    async def frame(self, content: Content, share: float) -> Image:
        """The upright frame at this share (0 to 1) of an animation or scan, longest side at most `limits.preview_px`.

        On white, or on black where nothing of it would be seen on white. Raises `ImageError`, `NotFound`.
        """
        data = await self.read(content)

        def decode_frame() -> Image:
            with ImageFrames(data, self._limits) as frames:
                return frames.show(frames.at(share), self._preview_px)

        return await self.run_in_thread(decode_frame)

    def decode(self, data: bytes, max_px: int) -> Image:
        """Decode a client's file: upright, `uint8[H, W, 3]`, longest side at most `max_px`. Raises `ImageError`."""
        return decode(data, max_px, self._limits)

    async def exists(self, content: Content) -> bool:
        """Whether the storage has the file as it was sent. Raises `Unavailable` when it cannot be asked."""
        return await self._storage.exists(original_key(content.sha256))

    async def read(self, content: Content) -> bytes:
        """Read the whole file as it was sent. Raises `NotFound`."""
        return await self._storage.get(original_key(content.sha256))

    async def collect_unused(self) -> int:
        """Delete contents that no image refers to: rows, vectors, faces, files. -> how many contents."""
        total = 0
        while True:
            async with self._database.transaction() as session:
                locked = await images.lock_unused(session)
                derived = await derived_files.load_names(session, locked)
                unused = await images.collect_unused(session, locked)
                shas = {content.sha256 for content in unused}
                keys = [key(sha) for sha in shas for key in (original_key, preview_key)]
                keys += [derived_key(sha, name) for sha, name in derived if sha in shas]
                # All have ended before the transaction does: a late one could meet the next upload of its content.
                ended = await asyncio.gather(*(self._storage.delete(key) for key in keys), return_exceptions=True)
                for failure in (outcome for outcome in ended if outcome is not None):
                    raise failure
            total += len(unused)
            if not unused:
                return total

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        """Run work on pixels beside the event loop, in at most `runtime.decode_threads` threads."""
        return await self._threads.run(work)

    async def _announce(self, content: Content) -> None:
        async with self._database.transaction() as session:
            await images.announce(session, content)

    async def _put_files(self, file: ReceivedFile, content_type: str, preview: Image | None) -> None:
        await self._storage.put(original_key(file.sha256), file.source, content_type)
        if preview is not None:
            data = await self.run_in_thread(lambda: encode_jpeg(preview))
            await self._storage.put(preview_key(file.sha256), data, "image/jpeg")
