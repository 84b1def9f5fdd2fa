"""The job that tells how well the pictures of an album were taken."""

from __future__ import annotations

from typing import Any

from serve_app.services.albums.snapshot import AlbumSnapshots, keep_result
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import quality
from serve_app.store.session import Database


class AssessQuality:
    def __init__(self, database: Database, albums: AlbumSnapshots) -> None:
        self._database = database
        self._albums = albums

    async def __call__(self, job: QueuedJob, progress: Progress) -> dict[str, Any]:
        snapshot = await self._albums.load(job, progress)
        async with self._database.transaction() as session:
            judged = await quality.load(session, snapshot.shas)
        entries = [
            {
                "image": item.ref,
                "sharpness": round(judged[item.sha256].sharpness, 4),
                "exposure": round(judged[item.sha256].exposure, 4),
                "score": round(judged[item.sha256].score, 4),
                "issues": list(judged[item.sha256].issues),
            }
            for item in sorted(snapshot.items, key=lambda item: item.ref)
            if item.sha256 in judged
        ]
        payload = {"quality": entries, "failed": snapshot.failed}
        await keep_result(self._database, snapshot, "quality", job.payload["parameters"], payload)
        return payload
