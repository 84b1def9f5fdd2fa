"""Reading of what is written in contents of an album, and keeping it: closely for who asks, by a glance at previews in
the background."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from configs.settings import Settings
from deployments.algorithms.texts.likelihood import measure_writing
from deployments.algorithms.texts.rows import plain_text
from deployments.algorithms.texts.words import comparable
from deployments.contracts.arrays import Image
from deployments.contracts.texts import Text, TextOptions, TextReader
from serve_app.services.images.store import ImageStore
from serve_app.store.repositories import albums, texts
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.texts import GLANCED, StoredTexts, TextLine
from serve_app.store.session import Database

STORED_SCORE = 0.5
"""Recognition score from which on lines are stored; answers leave out more of them by their own minimum."""


class TextReading:
    """Reads contents and keeps what they say. Raises what the reader and the decoding raise, and `NotFound` where the
    album is gone."""

    def __init__(self, database: Database, pictures: ImageStore, reader: TextReader, settings: Settings) -> None:
        self._database = database
        self._pictures = pictures
        self._reader = reader
        self._settings = settings
        self._glancing: dict[str, asyncio.Future[None]] = {}
        """Contents that are glanced at now: the jobs `texts` and `duplicates` of an album run side by side."""

    def px(self, content: Content) -> int:
        """Longest side at which a content is read for somebody who asks."""
        return min(max(content.width, content.height), self._settings.texts.read_px)

    async def read(self, album_id: str, content: Content) -> None:
        """Read a content closely."""
        image = await self._pictures.load(content, self.px(content))
        [found] = await self._reader.read_texts([image], TextOptions(min_text_score=STORED_SCORE))
        await self._keep(album_id, content, found, image, self.px(content))

    async def glance(self, album_id: str, content: Content, *, is_measured: bool) -> None:
        """Read the preview of a content, unless it looks as if nothing were written there or was read meanwhile.

        `is_measured`: it is known to look otherwise.
        """
        while (other := self._glancing.get(content.sha256)) is not None:
            await asyncio.wait({other})
        mine = self._glancing[content.sha256] = asyncio.get_running_loop().create_future()
        try:
            async with self._database.transaction() as session:
                was_read = await texts.load_sizes(session, self._settings.texts_model, [content.sha256])
            if not was_read:
                await self._glance(album_id, content, is_measured=is_measured)
        finally:
            del self._glancing[content.sha256]
            mine.set_result(None)

    async def _glance(self, album_id: str, content: Content, *, is_measured: bool) -> None:
        image = await self._pictures.preview(content)
        chosen = self._settings.texts
        if not is_measured:  # read into its album by a version that did not measure it
            writing = await self._pictures.run_in_thread(partial(measure_writing, image))
            async with self._database.transaction() as session:
                await texts.save_writing(session, {content.sha256: writing})
            if writing < chosen.min_writing:
                return
        options = TextOptions(min_text_score=STORED_SCORE, glance_px=chosen.glance_px)
        [found] = await self._reader.read_texts([image], options)
        await self._keep(album_id, content, found, image, max(image.shape[:2]) if found else GLANCED)

    async def _keep(self, album_id: str, content: Content, found: Sequence[Text], image: Image, read_px: int) -> None:
        """Store what was read. Nothing is kept for an image that was deleted in between."""
        factor = max(content.width, content.height) / max(image.shape[:2])
        stored = await asyncio.to_thread(_stored, found, factor, read_px)  # of a thousand lines it takes seconds
        async with self._database.transaction() as session:
            await albums.lock(session, album_id)
            await texts.save(session, self._settings.texts_model, {content.sha256: stored})
            await albums.delete_orphaned(session, [content.sha256])


def _stored(found: Sequence[Text], factor: float, read_px: int) -> StoredTexts:
    """Put texts as they are stored, their corners enlarged to pixels of the original."""
    page = plain_text([one.corners for one in found], [one.text for one in found])
    lines = tuple(
        TextLine(
            tuple(round(value * factor, 1) for corner in one.corners for value in corner),
            round(one.score, 4),
            one.text,
            round(one.text_score, 4),
        )
        for one in found
    )
    return StoredTexts(read_px, lines, page, comparable(page))
