"""The job `texts`: what is written in the pictures of an album."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from configs.settings import Settings
from deployments.algorithms.texts.rows import plain_text
from deployments.errors import DeadlineExceeded, ImageError, NotDeployed, image_error
from serve_app.services.albums.isolation import image_failure
from serve_app.services.albums.page_tagging import tag_anew
from serve_app.services.albums.results import (
    AnalysisResult,
    Failed,
    PictureText,
    ResultPages,
    TextLineView,
    TextsResult,
)
from serve_app.services.albums.snapshot import AlbumSnapshot, AlbumSnapshots, keep_result
from serve_app.services.albums.text_reading import TextReading
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import texts
from serve_app.store.repositories.images import Content
from serve_app.store.repositories.texts import StoredTexts
from serve_app.store.session import Database

_ROUNDS_LATE = 2
"""Pictures in a row whose reading took too long, by how many are read at once, from which on not they are to blame."""


class ReadTexts:
    """Handler of the job kind `texts`.

    In the background (`likely_only`) previews are read that look as if something were written there, after a glance at
    low resolution, and none where nothing can read them; who asks has every picture read, at the size of the settings.
    What was read is kept.
    """

    def __init__(self, database: Database, albums: AlbumSnapshots, reading: TextReading, settings: Settings) -> None:
        self._database = database
        self._albums = albums
        self._reading = reading
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
        result = await keep_result(self._database, snapshot, "texts", parameters, report)
        await tag_anew(self._database, job, snapshot, found, self._settings.jobs.max_attempts)
        return result

    async def _read_all(self, snapshot: AlbumSnapshot, likely_only: bool, progress: Progress) -> dict[str, ImageError]:
        """Read and store what has not been read yet. -> failures by content"""
        async with self._database.transaction() as session:
            sizes = await texts.load_sizes(session, self._settings.texts_model, snapshot.shas)
            writing = await texts.load_writing(session, snapshot.shas) if likely_only else {}
        unread = [content for content in snapshot.contents if sizes.get(content.sha256, -1) < self._reading.px(content)]
        if likely_only:
            least = self._settings.texts.min_writing
            unread = [
                content
                for content in snapshot.contents
                if content.sha256 not in sizes and writing.get(content.sha256, least) >= least
            ]
        bad: dict[str, ImageError] = {}
        at_once = self._settings.runtime.threads + 1
        gate = asyncio.Semaphore(at_once)
        finished, late, is_absent = 0, 0, False

        async def read(content: Content) -> None:
            nonlocal finished, late, is_absent
            async with gate:
                try:
                    if is_absent:
                        pass
                    elif likely_only:
                        await self._reading.glance(snapshot.album_id, content, is_measured=content.sha256 in writing)
                    else:
                        await self._reading.read(snapshot.album_id, content)
                    late = 0
                except NotDeployed:
                    if not likely_only:
                        raise
                    is_absent = True  # of the other pictures too: none is decoded for it
                except DeadlineExceeded:
                    late += 1
                    if late >= _ROUNDS_LATE * at_once:
                        raise
                    bad[content.sha256] = image_error("analysis_failed", "Reading this image took too long")
                except Exception as error:
                    bad[content.sha256] = image_failure(error, content.sha256)
            finished += 1
            progress.report(finished / len(unread))

        async with asyncio.TaskGroup() as group:
            for content in unread:
                group.create_task(read(content))
        return bad


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
        page = plain_text([line.as_text().corners for line in lines], [line.text for line in lines])
    shown = [
        TextLineView(text=line.text, corners=list(line.as_text().corners), score=line.score, text_score=line.text_score)
        for line in lines
    ]
    return PictureText(image=ref, text=page, lines=shown)
