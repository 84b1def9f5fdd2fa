"""Snapshots of albums in canonical order for the handlers of analyses, and the storing of their results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from deployments.errors import AllImagesFailed, NotFound
from deployments.kit.garbage import collector_paused
from serve_app.services.albums.ingest import AlbumIngester
from serve_app.services.albums.items import Item
from serve_app.services.albums.result_pages import pages_of
from serve_app.services.albums.result_sections import Places, split
from serve_app.services.albums.results import AnalysisResult, Failed, ResultPages
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, results
from serve_app.store.repositories.albums import AlbumItem, StoredAlbum
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.result_parts import Part, cut
from serve_app.store.session import Database

READING_SHARE = 0.5
"""Share of an analysis' progress that reading images takes where some had to be read first."""


class HasContents(Protocol):
    """File contents that are searched or tagged."""

    @property
    def contents(self) -> list[Content]:
        """Distinct, by hash."""
        ...

    @property
    def shas(self) -> list[str]:
        """Their SHA-256."""
        ...


@dataclass(frozen=True)
class AlbumSnapshot:
    """An album as one analysis sees it, sorted, so that results do not depend on the order in which images came."""

    album_id: str
    version: int
    items: list[Item]
    contents: list[Content]
    """Distinct, by hash."""
    failed: list[Failed]
    """By reference."""
    public_id: str
    places: Places
    """Of all images of the album, pending and failed ones included."""
    is_large: bool
    """Whether the album is answered in pages."""

    @property
    def shas(self) -> list[str]:
        return [content.sha256 for content in self.contents]


class AlbumSnapshots:
    """Loader of snapshots. Albums of more images than `most_whole` are large ones."""

    def __init__(self, database: Database, reader: AlbumIngester, most_whole: int) -> None:
        self._database = database
        self._reader = reader
        self._most_whole = most_whole

    async def load(self, job: QueuedJob, progress: Progress) -> AlbumSnapshot:
        """Read what is pending in a job's album, then take the snapshot.

        Raises `NotFound` when the album is gone, `AllImagesFailed` when no image is usable.
        """
        if job.album_id is None:
            raise NotFound("The album is gone.")
        await self._reader.read_album(job.user_id, job.album_id, progress.part(0.0, READING_SHARE))
        snapshot = await self.snapshot(job.album_id)
        if not snapshot.items and snapshot.failed:
            raise all_failed(snapshot.failed)
        return snapshot

    async def snapshot(self, album_id: str) -> AlbumSnapshot:
        """Take a snapshot of the album as it is now, without reading anything. Raises `NotFound`."""
        with collector_paused():
            async with self._database.transaction() as session:
                album = await albums.get(session, album_id)
                loaded = await albums.load_items(session, album_id)
            if album is None:
                raise NotFound("The album is gone.")
            return await asyncio.to_thread(_snapshot, album, loaded, len(loaded) > self._most_whole)


def _snapshot(album: StoredAlbum, loaded: Sequence[AlbumItem], is_large: bool) -> AlbumSnapshot:
    ready = [(item, item.content) for item in loaded if item.status == "embedded" and item.content is not None]
    items = [
        Item(item.ref, item.image_id or "", c.sha256, c.width, c.height, c.size_bytes, c.content_type)
        for item, c in ready
    ]
    failed = [
        Failed(image=item.ref, code=item.code or "corrupt", detail=item.detail or "")
        for item in loaded
        if item.status == "failed"
    ]
    return AlbumSnapshot(
        album.id,
        album.version,
        sorted(items, key=lambda item: (item.sha256, item.ref)),
        [content for _, content in sorted({c.sha256: c for _, c in ready}.items())],
        sorted(failed, key=lambda failure: failure.image),
        album.public_id,
        places_of(loaded),
        is_large,
    )


def all_failed(failed: Sequence[Failed]) -> AllImagesFailed:
    """The error of a call none of whose images could be used."""
    listed = [failure.model_dump() for failure in failed]
    return AllImagesFailed(f"None of the {len(failed)} images could be used.", extra={"failed": listed})


def places_of(items: Sequence[AlbumItem]) -> Places:
    """Places of the images of an album, for the keys of results."""
    return {item.ref: (item.id, item.content.sha256 if item.content else "") for item in items}


async def keep_result(
    database: Database,
    snapshot: AlbumSnapshot,
    kind: str,
    parameters: Mapping[str, Any],
    report: Callable[[], AnalysisResult],
) -> AnalysisResult | ResultPages:
    """Make the result of an analysis with its details, and store it for requests with equal parameters. -> the result,
    or that of a large album by its pages

    `report` makes the result in a thread, where that of a large album ends too: at 100,000 images making, cutting and
    freeing it takes seconds, in which the heartbeats of all jobs would stand still.
    """

    def make() -> tuple[AnalysisResult | None, dict[str, int], list[Part]]:
        result = report()
        counts, parts = cut_result(kind, result, snapshot.places)
        return None if snapshot.is_large else result, counts, parts

    key = results.params_key(parameters)
    with collector_paused():
        result, counts, parts = await asyncio.to_thread(make)
    async with database.transaction() as session:
        await results.save(session, snapshot.album_id, kind, key, snapshot.version, {"counts": counts}, parts)
    return pages_of(snapshot.public_id, kind, key, counts) if result is None else result


def cut_result(kind: str, result: AnalysisResult, places: Places) -> tuple[dict[str, int], list[Part]]:
    """Cut a result into parts. -> the number of entries of each section, and the parts"""
    sections = split(kind, result, places)
    parts = [part for section, entries in sections.items() for part in cut(section, entries)]
    return {section: len(entries) for section, entries in sections.items()}, parts
