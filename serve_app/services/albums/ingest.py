"""Ingest of albums: images are fetched, embedded, searched for faces and assessed, once for equal file contents.

Results are stored in chunks as they are computed, so that a job that dies half way goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from configs.settings import Settings
from deployments.algorithms.images.quality import assess
from deployments.algorithms.images.views import make_views
from deployments.algorithms.texts.likelihood import measure_writing
from deployments.contracts.albums import Capabilities, Face
from deployments.contracts.arrays import Image, Vectors
from deployments.errors import ImageError, NotFound
from deployments.kit.threads import Threads
from serve_app.services.albums.isolation import image_failure, run_isolated
from serve_app.services.images.references import ImageReferences
from serve_app.services.images.store import FetchedFor, ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.repositories import albums, faces, quality, texts, vectors
from serve_app.store.repositories.albums import AlbumItem, Outcome
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.quality import StoredQuality
from serve_app.store.session import Database
from serve_app.telemetry import Metrics

_FETCH_SHARE = 0.2
"""Share of the progress bar for fetching, where there is something to fetch."""


@dataclass(frozen=True, slots=True)
class _Analysed:
    """What is stored of one picture."""

    faces: list[Face]
    """In pixels of the original."""
    vectors: Vectors | None
    """`float32[V, D]`; None where they are stored already."""
    quality: StoredQuality
    writing: float
    """Share that looks like lines of text."""


_Compute = Callable[[Sequence[tuple[Content, Image]]], Coroutine[Any, Any, list[_Analysed]]]


class AlbumIngester:
    """Brings every image of an album to status `embedded` or `failed`."""

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
        self._threads = Threads(settings.runtime.threads)
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By user: chunks of all its albums that are in work, enough for the cores, one being decoded while the others
        compute. More would only stand in line before other users'."""

    async def read_album(self, user_id: str, album_id: str, progress: Progress) -> None:
        """Ingest images that are not ingested yet. Unusable ones are marked with the reason and stop nothing.

        Images that were embedded by another model than the settings now name are ingested again.
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
        """Fetch a few at a time, each until it is stored, so that no fetched file waits in memory."""
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
        """Fetch an item's image. -> the item with it; None, and the item marked as failed, where it cannot be had."""
        try:
            image = await self._references.fetch(user_id, item.ref, FetchedFor(album_id, item.id, item.ref))
        except NotFound:
            raise  # the album, or the item in it
        except Exception as error:
            failure = image_failure(error, f"item {item.id}")  # a URL may hold a secret
            self._metrics.pictures.labels(failure.code).inc()
            failed = Outcome(item.id, code=failure.code, detail=failure.message)
            async with self._database.transaction() as session:
                await albums.record_outcomes(session, album_id, [failed])
            return None
        return replace(item, image_id=image.id, content=image.content)

    async def _analyse(self, user_id: str, album_id: str, items: Sequence[AlbumItem], progress: Progress) -> None:
        """Analyse items in chunks of distinct contents; all items of a content settle with it."""
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
                await self._analyse_chunk(album_id, chunk, holders)
            finished += len(chunk)
            progress.report(finished / len(distinct))

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(distinct), size):
                group.create_task(analyse([content for _, content in distinct[start : start + size]]))

    async def _analyse_chunk(
        self, album_id: str, chunk: Sequence[Content], holders: Mapping[str, Sequence[AlbumItem]]
    ) -> None:
        """Store vectors, faces and quality of those that have none, and what became of the items that hold them.

        Nothing is kept for an image that was deleted in between, even if another user has the same content.
        Raises `NotFound` when the album was deleted.
        """
        by_sha = {content.sha256: content for content in chunk}
        embedding_model, faces_model = self._settings.embedding_model, self._settings.faces_model
        async with self._database.transaction() as session:
            unseen = set(await vectors.find_missing(session, embedding_model, list(by_sha)))
            faceless = set(await faces.find_missing(session, faces_model, list(by_sha))) - unseen
        done, bad = await self._analyse_each([by_sha[sha] for sha in sorted(unseen)], self._compute)
        moved, lost = await self._analyse_each([by_sha[sha] for sha in sorted(faceless)], self._find_faces)
        done, bad = done | moved, bad | lost
        outcomes = [_outcome(item, bad.get(sha)) for sha in by_sha for item in holders[sha]]
        async with self._database.transaction() as session:
            await albums.lock(session, album_id)
            if done:
                embedded = {sha: one.vectors for sha, one in done.items() if one.vectors is not None}
                if embedded:
                    await vectors.save(session, embedding_model, list(embedded), np.stack(list(embedded.values())))
                await faces.save(session, faces_model, {sha: one.faces for sha, one in done.items()})
                await quality.save(session, {sha: one.quality for sha, one in done.items()})
                await texts.save_writing(session, {sha: one.writing for sha, one in done.items()})
                await albums.delete_orphaned(session, list(by_sha))
            await albums.record_outcomes(session, album_id, outcomes)
        self._metrics.pictures.labels("analysed").inc(len(done))
        for error in bad.values():
            self._metrics.pictures.labels(error.code).inc()

    async def _analyse_each(
        self, contents: Sequence[Content], compute: _Compute
    ) -> tuple[dict[str, _Analysed], dict[str, ImageError]]:
        """Results and failures by hash. A picture that breaks its analysis takes no other along."""
        fresh: list[tuple[Content, Image]] = []
        bad: dict[str, ImageError] = {}
        for content in contents:
            try:
                fresh.append((content, await self._pictures.preview(content)))
            except Exception as error:
                bad[content.sha256] = image_failure(error, content.sha256)
        done: dict[str, _Analysed] = {}
        for (content, _), result in zip(fresh, await run_isolated(fresh, compute), strict=True):
            if isinstance(result, Exception):
                bad[content.sha256] = image_failure(result, content.sha256)
            else:
                done[content.sha256] = result
        return done, bad

    async def _compute(self, fresh: Sequence[tuple[Content, Image]]) -> list[_Analysed]:
        images = [image for _, image in fresh]
        input_px = self._settings.embedding.input_px
        (views, judged), found = await asyncio.gather(
            self._threads.run(_look, fresh, input_px), self._capabilities.find_faces(images)
        )
        flat = await self._capabilities.embed_images(views.reshape(-1, *views.shape[2:]))
        return [
            _Analysed([_in_original_pixels(face, content, image) for face in of], vectors, quality, writing)
            for (content, image), of, vectors, (quality, writing) in zip(
                fresh, found, flat.reshape(len(images), -1, flat.shape[-1]), judged, strict=True
            )
        ]

    async def _find_faces(self, fresh: Sequence[tuple[Content, Image]]) -> list[_Analysed]:
        """Search for faces, and assess quality anew: an album that moves to another face network keeps its vectors, and
        may come from a version whose scores cannot be compared with today's."""
        judged, found = await asyncio.gather(
            self._threads.run(_judge, fresh), self._capabilities.find_faces([image for _, image in fresh])
        )
        return [
            _Analysed([_in_original_pixels(face, content, image) for face in of], None, quality, writing)
            for (content, image), of, (quality, writing) in zip(fresh, found, judged, strict=True)
        ]


def _outcome(item: AlbumItem, error: ImageError | None) -> Outcome:
    return Outcome(item.id, item.image_id) if error is None else Outcome(item.id, code=error.code, detail=error.message)


def _chunk_size(count: int, most: int, threads: int) -> int:
    """Size the chunks: small albums are cut finer, so that every core has work."""
    return max(1, min(most, -(-count // (2 * threads))))


def _look(
    fresh: Sequence[tuple[Content, Image]], input_px: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], list[tuple[StoredQuality, float]]]:
    """Make the square views `uint8[N, V, S, S, 3]`, and assess each image's quality and likelihood of writing."""
    return np.stack([make_views(image, input_px) for _, image in fresh]), _judge(fresh)


def _judge(fresh: Sequence[tuple[Content, Image]]) -> list[tuple[StoredQuality, float]]:
    judged = [assess(image, content.width, content.height) for content, image in fresh]
    quality = [StoredQuality(seen.sharpness, seen.exposure, seen.score, tuple(seen.issues)) for seen in judged]
    return [(one, measure_writing(image)) for one, (_, image) in zip(quality, fresh, strict=True)]


def _in_original_pixels(face: Face, content: Content, image: Image) -> Face:
    factor = max(content.width, content.height) / max(image.shape[:2])
    x1, y1, x2, y2 = (float(value * factor) for value in face.bbox)
    return replace(face, bbox=(x1, y1, x2, y2), landmarks=face.landmarks * np.float32(factor))
