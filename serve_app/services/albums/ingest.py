"""Reading pictures into an album: fetch what is a URL, then vectors, faces and quality, once for equal bytes.

Everything is written in chunks as it becomes known, so a job that dies half way goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

import numpy as np
import structlog

from configs.settings import Settings
from deployments.algorithms.images.quality import assess
from deployments.algorithms.images.views import make_views
from deployments.contracts.albums import Capabilities, Face
from deployments.contracts.arrays import Image
from deployments.errors import ImageError
from serve_app.services.images.references import ImageReferences
from serve_app.services.images.store import FetchedFor, ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.repositories import albums, faces, quality, vectors
from serve_app.store.repositories.albums import AlbumItem, Outcome
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.quality import StoredQuality
from serve_app.store.session import Database
from serve_app.telemetry import Metrics

log = structlog.get_logger(__name__)

_FETCH_SHARE = 0.2
"""Of the progress bar, where there is something to fetch."""


class AlbumIngester:
    """Brings every picture of an album to status `embedded` or `failed`."""

    def __init__(
        self,
        database: Database,
        pictures: ImageStore,
        references: ImageReferences,
        capabilities: Capabilities,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._references = references
        self._capabilities = capabilities
        self._settings = settings
        self._metrics = metrics
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By user: chunks of all its albums that are in work, enough for the cores, one being decoded while the others
        compute. More would only stand in line before other users'."""

    async def read_album(self, user_id: str, album_id: str, progress: Progress) -> None:
        """Read what is not read yet. Pictures that cannot be used are marked with the reason and stop nothing.

        Pictures that were embedded by another model than the settings now name are read again.
        """
        async with self._database.transaction() as session:
            items = await albums.load_items(session, album_id)
            shas = [item.content.sha256 for item in items if item.status == "embedded" and item.content is not None]
            stale = set(await vectors.find_missing(session, self._settings.embedding_model, shas))
            stale |= set(await faces.find_missing(session, self._settings.faces_model, shas))
        pending = [
            item
            for item in items
            if item.status == "pending" or (item.status == "embedded" and item.content and item.content.sha256 in stale)
        ]
        unfetched = [item for item in pending if item.content is None]
        ready = [item for item in pending if item.content is not None]
        share = _FETCH_SHARE if unfetched else 0.0
        ready += await self._fetch_all(user_id, album_id, unfetched, progress.part(0.0, share))
        await self._analyse(user_id, album_id, ready, progress.part(share, 1.0))

    async def _fetch_all(
        self, user_id: str, album_id: str, items: Sequence[AlbumItem], progress: Progress
    ) -> list[AlbumItem]:
        """A few at a time, each until it is stored: what is fetched waits nowhere in memory."""
        gate = asyncio.Semaphore(self._settings.fetch.concurrency)
        fetched: list[AlbumItem | None] = []

        async def fetch(item: AlbumItem) -> None:
            async with gate:
                fetched.append(await self._fetch(user_id, album_id, item))
            progress.report(len(fetched) / len(items))

        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(fetch(item))
        return [item for item in fetched if item is not None]

    async def _fetch(self, user_id: str, album_id: str, item: AlbumItem) -> AlbumItem | None:
        """The item with its picture; None, and the item marked as failed, when there is none to be had."""
        try:
            image = await self._references.fetch(user_id, item.ref, FetchedFor(album_id, item.id, item.ref))
        except ImageError as error:
            self._metrics.pictures.labels(error.code).inc()
            failed = Outcome(item.id, code=error.code, detail=error.message)
            async with self._database.transaction() as session:
                await albums.record_outcomes(session, album_id, [failed])
            return None
        return replace(item, image_id=image.id, content=image.content)

    async def _analyse(self, user_id: str, album_id: str, items: Sequence[AlbumItem], progress: Progress) -> None:
        """In chunks of distinct contents; all items of a content settle with it."""
        holders: dict[str, list[AlbumItem]] = defaultdict(list)
        contents: dict[str, Content] = {}
        for item in items:
            if item.content is not None:
                holders[item.content.sha256].append(item)
                contents[item.content.sha256] = item.content
        distinct = sorted(contents.items())
        size = _chunk_size(len(distinct), self._settings.jobs.chunk, self._settings.runtime.threads)
        gate = self._gates.setdefault(user_id, asyncio.Semaphore(self._settings.runtime.threads + 1))
        finished = 0

        async def analyse(chunk: Sequence[Content]) -> None:
            nonlocal finished
            async with gate:
                bad = await self._analyse_chunk(album_id, chunk)
                outcomes = [
                    _outcome(item, bad.get(content.sha256)) for content in chunk for item in holders[content.sha256]
                ]
                async with self._database.transaction() as session:
                    await albums.record_outcomes(session, album_id, outcomes)
            finished += len(chunk)
            progress.report(finished / len(distinct))

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(distinct), size):
                group.create_task(analyse([content for _, content in distinct[start : start + size]]))

    async def _analyse_chunk(self, album_id: str, chunk: Sequence[Content]) -> dict[str, ImageError]:
        """Store vectors, faces and quality of those that have none. -> the contents that turned out unusable.

        What nobody asks for any more is not kept: a picture that was deleted meanwhile is passed over, though somebody
        else has the same. Raises `NotFound` when the album was deleted.
        """
        by_sha = {content.sha256: content for content in chunk}
        embedding_model, faces_model = self._settings.embedding_model, self._settings.faces_model
        async with self._database.transaction() as session:
            missing = set(await vectors.find_missing(session, embedding_model, list(by_sha)))
            missing |= set(await faces.find_missing(session, faces_model, list(by_sha)))
        fresh: list[tuple[Content, Image]] = []
        bad: dict[str, ImageError] = {}
        for sha in sorted(missing):
            try:
                fresh.append((by_sha[sha], await self._pictures.preview(by_sha[sha])))
            except ImageError as error:
                bad[sha] = error
        if fresh:
            embedded, found, judged = await self._compute(fresh)
            async with self._database.transaction() as session:
                await albums.lock(session, album_id)
                await vectors.save(session, embedding_model, [content.sha256 for content, _ in fresh], embedded)
                await faces.save(session, faces_model, found)
                await quality.save(session, judged)
                await albums.delete_orphaned(session, list(by_sha))
        self._metrics.pictures.labels("analysed").inc(len(fresh))
        return bad

    async def _compute(
        self, fresh: Sequence[tuple[Content, Image]]
    ) -> tuple[np.ndarray[tuple[int, int, int], np.dtype[np.float32]], dict[str, list[Face]], dict[str, StoredQuality]]:
        images = [image for _, image in fresh]
        input_px = self._settings.embedding.input_px
        (views, judged), found = await asyncio.gather(
            asyncio.to_thread(_look, fresh, input_px), self._capabilities.find_faces(images)
        )
        flat = await self._capabilities.embed_images(views.reshape(-1, *views.shape[2:]))
        embedded = flat.reshape(len(images), -1, flat.shape[-1])
        scaled = {
            content.sha256: [_in_original_pixels(face, content, image) for face in of]
            for (content, image), of in zip(fresh, found, strict=True)
        }
        return embedded, scaled, judged


def _outcome(item: AlbumItem, error: ImageError | None) -> Outcome:
    return Outcome(item.id, item.image_id) if error is None else Outcome(item.id, code=error.code, detail=error.message)


def _chunk_size(count: int, most: int, threads: int) -> int:
    """Small albums are cut finer, so that every core has something to do."""
    return max(1, min(most, -(-count // (2 * threads))))


def _look(
    fresh: Sequence[tuple[Content, Image]], input_px: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], dict[str, StoredQuality]]:
    """The square views `uint8[N, V, S, S, 3]`, and how well each picture was taken."""
    views = np.stack([make_views(image, input_px) for _, image in fresh])
    judged = {}
    for content, image in fresh:
        seen = assess(image, content.width, content.height)
        judged[content.sha256] = StoredQuality(seen.sharpness, seen.exposure, seen.score, tuple(seen.issues))
    return views, judged


def _in_original_pixels(face: Face, content: Content, image: Image) -> Face:
    factor = max(content.width, content.height) / max(image.shape[:2])
    x1, y1, x2, y2 = (float(value * factor) for value in face.bbox)
    return replace(face, bbox=(x1, y1, x2, y2), landmarks=face.landmarks * np.float32(factor))
