"""Thumbnails of stored images: made when they are first asked for, and kept beside the preview."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from configs.settings import Settings
from deployments.algorithms.images.thumbnails import Format as Format
from deployments.algorithms.images.thumbnails import encode_thumbnail, make_thumbnail
from deployments.errors import NotFound
from serve_app.services.images.store import ImageStore, derived_key, preview_key
from serve_app.storage import Storage
from serve_app.store.repositories import derived_files
from serve_app.store.repositories.images import Content
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Which thumbnail of an image."""

    size: int
    """Pixels of the longest side, one of `algorithms.images.thumbnails.SIZES`; a smaller image is not enlarged."""
    format: Format

    @property
    def name(self) -> str:
        """Name among the files that were made of a content."""
        return f"{self.size}.{self.format}"


class Thumbnails:
    """Maker and keeper of thumbnails."""

    def __init__(self, database: Database, storage: Storage, pictures: ImageStore, settings: Settings) -> None:
        self._database = database
        self._storage = storage
        self._pictures = pictures
        self._preview_px = settings.limits.preview_px
        self._making: dict[str, asyncio.Task[int]] = {}

    async def find_or_make(self, content: Content, thumbnail: Thumbnail) -> tuple[str, int]:
        """Make sure that the thumbnail is stored. -> its key in the storage, its size in bytes

        Raises `NotFound` when the content is deleted meanwhile, `ImageError`, `Unavailable`.
        """
        key = derived_key(content.sha256, thumbnail.name)
        async with self._database.transaction() as session:
            size = await derived_files.find_size(session, content.sha256, thumbnail.name)
        if size is None or not await self._storage.exists(key):
            size = await self._make_once(key, content, thumbnail)
        return key, size

    async def _make_once(self, key: str, content: Content, thumbnail: Thumbnail) -> int:
        """Make a thumbnail, or wait for whoever is making it. -> its size in bytes"""
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key, content, thumbnail))
            task.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(task)

    def _forget(self, key: str, task: asyncio.Task[int]) -> None:
        del self._making[key]
        if not task.cancelled():
            task.exception()  # its clients may have hung up

    async def _make(self, key: str, content: Content, thumbnail: Thumbnail) -> int:
        async with self._database.transaction() as session:
            await derived_files.announce(session, content.sha256, thumbnail.name)
        data = await self._render(content, thumbnail)
        await self._storage.put(key, data, f"image/{thumbnail.format}")
        async with self._database.transaction() as session:
            is_kept = await derived_files.confirm(session, content.sha256, thumbnail.name, len(data))
        if not is_kept:
            await self._storage.delete(key)
            raise NotFound("The image was deleted meanwhile.")
        return len(data)

    async def _render(self, content: Content, thumbnail: Thumbnail) -> bytes:
        size, form = thumbnail.size, thumbnail.format
        if content.has_preview and size <= self._preview_px:
            preview = await self._storage.get(preview_key(content.sha256))
            return await self._pictures.run_in_thread(lambda: make_thumbnail(preview, size, form))
        data = await self._pictures.read(content)
        return await self._pictures.run_in_thread(
            lambda: encode_thumbnail(self._pictures.decode(data, size), size, form)
        )
