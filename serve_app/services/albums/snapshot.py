"""What the handlers of analyses share: the pictures of an album in canonical order, and keeping the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.errors import AllImagesFailed, NotFound
from serve_app.services.albums.ingest import AlbumIngester
from serve_app.services.albums.items import Item, UnusableImage
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, results
from serve_app.store.repositories.images import Content
from serve_app.store.session import Database

READING_SHARE = 0.5
"""Of an analysis' progress, when pictures had to be read first."""


@dataclass(frozen=True)
class AlbumSnapshot:
    """An album as one analysis sees it, sorted: answers do not depend on the order in which pictures were posted."""

    album_id: str
    version: int
    items: list[Item]
    contents: list[Content]
    """Distinct, by hash."""
    failures: list[UnusableImage]

    @property
    def failed(self) -> list[dict[str, str]]:
        return [failure.view() for failure in self.failures]

    @property
    def shas(self) -> list[str]:
        return [content.sha256 for content in self.contents]


class AlbumSnapshots:
    def __init__(self, database: Database, reader: AlbumIngester) -> None:
        self._database = database
        self._reader = reader

    async def load(self, job: QueuedJob, progress: Progress) -> AlbumSnapshot:
        """The album of a job; what is pending in it is read first. Raises `AllImagesFailed` when nothing is usable."""
        if job.album_id is None:
            raise NotFound("The album is gone.")
        await self._reader.read_album(job.user_id, job.album_id, progress.part(0.0, READING_SHARE))
        snapshot = await self.snapshot(job.album_id)
        if not snapshot.items and snapshot.failures:
            raise AllImagesFailed(
                f"None of the {len(snapshot.failures)} images could be used.", extra={"failed": snapshot.failed}
            )
        return snapshot

    async def snapshot(self, album_id: str) -> AlbumSnapshot:
        """The album as it is now, without reading anything."""
        async with self._database.transaction() as session:
            album = await albums.get(session, album_id)
            loaded = await albums.load_items(session, album_id)
        if album is None:
            raise NotFound("The album is gone.")
        ready = [(item, item.content) for item in loaded if item.status == "embedded" and item.content is not None]
        items = [
            Item(item.ref, item.image_id or "", c.sha256, c.width, c.height, c.size_bytes, c.content_type)
            for item, c in ready
        ]
        failures = [
            UnusableImage(item.ref, item.code or "corrupt", item.detail or "")
            for item in loaded
            if item.status == "failed"
        ]
        return AlbumSnapshot(
            album_id,
            album.version,
            sorted(items, key=lambda item: (item.sha256, item.ref)),
            [content for _, content in sorted({c.sha256: c for _, c in ready}.items())],
            sorted(failures, key=lambda failure: failure.ref),
        )


async def keep_result(
    database: Database, snapshot: AlbumSnapshot, kind: str, parameters: Mapping[str, Any], payload: dict[str, Any]
) -> None:
    key = results.params_key(parameters)
    async with database.transaction() as session:
        await results.save(session, snapshot.album_id, kind, key, snapshot.version, payload)
