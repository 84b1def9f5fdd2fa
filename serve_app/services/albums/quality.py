"""The job that tells how well the pictures of an album were taken."""

from __future__ import annotations

from typing import Any

from serve_app.services.albums.snapshot import AlbumLoader, keep_result
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import Job
from serve_app.store.repositories import quality
from serve_app.store.session import Database


class JudgeQuality:
    def __init__(self, database: Database, albums: AlbumLoader) -> None:
        self._database = database
        self._albums = albums

    async def __call__(self, job: Job, progress: Progress) -> dict[str, Any]:
        subject = await self._albums.load(job, progress)
        async with self._database.transaction() as session:
            judged = await quality.load(session, subject.shas)
        entries = [
            {
                "image": item.ref,
                "sharpness": round(judged[item.sha256].sharpness, 4),
                "exposure": round(judged[item.sha256].exposure, 4),
                "score": round(judged[item.sha256].score, 4),
                "issues": list(judged[item.sha256].issues),
            }
            for item in sorted(subject.items, key=lambda item: item.ref)
            if item.sha256 in judged
        ]
        payload = {"quality": entries, "failed": subject.failed}
        await keep_result(self._database, subject, "quality", job.payload["parameters"], payload)
        return payload
