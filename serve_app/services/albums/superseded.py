"""Analyses that another job has made since they were ordered.

Each post to an album orders follow-up jobs, and those wait for the posts before them: the first of them sees what all
of these brought.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from serve_app.services.albums.results import AnalysisResult, ResultPages
from serve_app.services.albums.stored_results import StoredResults
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, results
from serve_app.store.session import Database

Analyse = Callable[[QueuedJob, Progress], Coroutine[Any, Any, AnalysisResult | ResultPages]]


class UnlessMade:
    """Handler of an analysis, which answers with the stored result where that is of the album as it is and was made
    since the job was ordered. An older one may be another model's."""

    def __init__(self, database: Database, stored: StoredResults, analyse: Analyse) -> None:
        self._database = database
        self._stored = stored
        self._analyse = analyse

    async def __call__(self, job: QueuedJob, progress: Progress) -> AnalysisResult | ResultPages:
        """Raises what the analysis raises."""
        made = await self._made(job)
        return await self._analyse(job, progress) if made is None else made

    async def _made(self, job: QueuedJob) -> AnalysisResult | ResultPages | None:
        if job.payload.get("anew"):  # the album is as it was, and what is known of its images is not
            return None
        async with self._database.transaction() as session:
            album = await albums.get(session, job.album_id or "")
            key = results.params_key(job.payload["parameters"])
            found = await results.find(session, job.album_id or "", job.kind, key)
        if album is None or found is None or found.album_version != album.version or found.created_at <= job.created_at:
            return None
        return await self._stored.answer(album, found)
