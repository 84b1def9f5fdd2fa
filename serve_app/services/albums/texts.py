"""The job `texts`: what is written in the pictures of an album."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from configs.settings import Settings
from deployments.algorithms.texts.likelihood import measure_writing
from deployments.algorithms.texts.rows import plain_text
from deployments.algorithms.texts.words import comparable
from deployments.contracts.arrays import Image
from deployments.contracts.texts import Corners, Text, TextOptions, TextReader
from deployments.errors import ImageError, NotDeployed
from serve_app.services.albums.isolation import image_failure
from serve_app.services.albums.results import (
    AnalysisResult,
    Failed,
    PictureText,
    ResultPages,
    TextLineView,
    TextsResult,
)
from serve_app.services.albums.snapshot import AlbumSnapshot, AlbumSnapshots, keep_result
from serve_app.services.images.store import ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, texts
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.texts import GLANCED, StoredTexts, TextLine
from serve_app.store.session import Database

STORED_SCORE = 0.5
"""Recognition score from which on lines are stored; answers leave out more of them by their own minimum."""


class ReadTexts:
    """Handler of the job kind `texts`.

    In the background (`likely_only`) previews are read that look as if something were written there, after a glance at
    low resolution, and none where nothing can read them; who asks has every picture read, at the size of the settings.
    What was read is kept.
    """

    def __init__(
        self, database: Database, albums: AlbumSnapshots, pictures: ImageStore, reader: TextReader, settings: Settings
    ) -> None:
        self._database = database
        self._albums = albums
        self._pictures = pictures
        self._reader = reader
        self._settings = settings

    async def __call__(self, job: QueuedJob, progress: Progress) -> AnalysisResult | ResultPages:
        snapshot = await self._albums.load(job, progress)
        parameters = job.payload["parameters"]
        part = progress.part(progress.share, 1.0)
        bad = await self._read_all(snapshot, bool(parameters.get("likely_only")), part)
        async with self._database.transaction() as session:
            found = await texts.load(session, self._settings.texts_model, snapshot.shas)
        least = parameters.get("min_score", self._settings.texts.min_score)
        report = partial(_report, snapshot, found, bad, float(least))
        return await keep_result(self._database, snapshot, "texts", parameters, report)

    async def _read_all(self, snapshot: AlbumSnapshot, likely_only: bool, progress: Progress) -> dict[str, ImageError]:
        """Read and store what has not been read yet. -> failures by content"""
        async with self._database.transaction() as session:
            sizes = await texts.load_sizes(session, self._settings.texts_model, snapshot.shas)
            writing = await texts.load_writing(session, snapshot.shas) if likely_only else {}
        unread = [content for content in snapshot.contents if sizes.get(content.sha256, -1) < self._px(content)]
        if likely_only:
            least = self._settings.texts.min_writing
            unread = [
                content
                for content in snapshot.contents
                if content.sha256 not in sizes and writing.get(content.sha256, least) >= least
            ]
        bad: dict[str, ImageError] = {}
        gate = asyncio.Semaphore(self._settings.runtime.threads + 1)
        finished, is_absent = 0, False

        async def read(content: Content) -> None:
            nonlocal finished, is_absent
            async with gate:
                try:
                    if is_absent:
                        pass
                    elif likely_only:
                        await self._glance(snapshot.album_id, content, is_measured=content.sha256 in writing)
                    else:
                        await self._read(snapshot.album_id, content)
                except NotDeployed:
                    if not likely_only:
                        raise
                    is_absent = True  # of the other pictures too: none is decoded for it
                except Exception as error:
                    bad[content.sha256] = image_failure(error, content.sha256)
            finished += 1
            progress.report(finished / len(unread))

        async with asyncio.TaskGroup() as group:
            for content in unread:
                group.create_task(read(content))
        return bad

    def _px(self, content: Content) -> int:
        """Longest side at which a content is read for somebody who asks."""
        return min(max(content.width, content.height), self._settings.texts.read_px)

    async def _read(self, album_id: str, content: Content) -> None:
        image = await self._pictures.load(content, self._px(content))
        [found] = await self._reader.read_texts([image], TextOptions(min_text_score=STORED_SCORE))
        await self._keep(album_id, content, found, image, self._px(content))

    async def _glance(self, album_id: str, content: Content, *, is_measured: bool) -> None:
        """Read the preview of a content, unless it looks as if nothing were written there."""
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
        """Store what was read. Nothing is kept for an image that was deleted in between. Raises `NotFound` when the
        album was."""
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


def _report(
    snapshot: AlbumSnapshot, found: Mapping[str, StoredTexts], bad: Mapping[str, ImageError], least: float
) -> TextsResult:
    items = sorted(snapshot.items, key=lambda item: item.ref)
    failed = [
        Failed(image=item.ref, code=bad[item.sha256].code, detail=bad[item.sha256].message)
        for item in items
        if item.sha256 in bad
    ]
    return TextsResult(
        texts=[_entry(item.ref, found[item.sha256], least) for item in items if item.sha256 in found],
        failed=sorted([*snapshot.failed, *failed], key=lambda failure: failure.image),
    )


def _entry(ref: str, stored: StoredTexts, least: float) -> PictureText:
    lines = [line for line in stored.lines if line.text_score >= least]
    page = stored.page
    if len(lines) < len(stored.lines):
        page = plain_text([_corners(line) for line in lines], [line.text for line in lines])
    shown = [
        TextLineView(text=line.text, corners=list(_corners(line)), score=line.score, text_score=line.text_score)
        for line in lines
    ]
    return PictureText(image=ref, text=page, lines=shown)


def _corners(line: TextLine) -> Corners:
    x1, y1, x2, y2, x3, y3, x4, y4 = line.corners
    return (x1, y1), (x2, y2), (x3, y3), (x4, y4)
