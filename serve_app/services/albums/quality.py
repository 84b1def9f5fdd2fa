"""The job `quality`: image quality assessment of an album."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from serve_app.services.albums.results import AnalysisResult, PictureQuality, QualityResult, ResultPages
from serve_app.services.albums.snapshot import AlbumSnapshot, AlbumSnapshots, keep_result
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import quality
from serve_app.store.repositories.quality import StoredQuality
from serve_app.store.session import Database


class AssessQuality:
    """Handler of the job kind `quality`. What it answers was measured when the images were read."""

    def __init__(self, database: Database, albums: AlbumSnapshots) -> None:
        self._database = database
        self._albums = albums

    async def __call__(self, job: QueuedJob, progress: Progress) -> AnalysisResult | ResultPages:
        snapshot = await self._albums.load(job, progress)
        async with self._database.transaction() as session:
            judged = await quality.load(session, snapshot.shas)
        report = partial(_report, snapshot, judged)
        return await keep_result(self._database, snapshot, "quality", job.payload["parameters"], report)


def _report(snapshot: AlbumSnapshot, judged: Mapping[str, StoredQuality]) -> QualityResult:
    entries = [
        PictureQuality(
            image=item.ref,
            sharpness=round(judged[item.sha256].sharpness, 4),
            exposure=round(judged[item.sha256].exposure, 4),
            score=round(judged[item.sha256].score, 4),
            issues=list(judged[item.sha256].issues),
        )
        for item in sorted(snapshot.items, key=lambda item: item.ref)
        if item.sha256 in judged
    ]
    return QualityResult(quality=entries, failed=snapshot.failed)
