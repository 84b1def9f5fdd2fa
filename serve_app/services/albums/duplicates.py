"""The job `duplicates`."""

from __future__ import annotations

from configs.settings import Settings
from deployments.contracts.albums import DuplicateFinder
from serve_app.services.albums.candidate_store import CandidateStore
from serve_app.services.albums.duplicate_search import DuplicateSearch
from serve_app.services.albums.results import AnalysisResult, ResultPages
from serve_app.services.albums.snapshot import AlbumSnapshots, keep_result
from serve_app.services.albums.text_reading import TextReading
from serve_app.services.images.store import ImageStore
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.session import Database


class FindDuplicates:
    """Handler of the job kind `duplicates`."""

    def __init__(
        self,
        database: Database,
        albums: AlbumSnapshots,
        pictures: ImageStore,
        finder: DuplicateFinder,
        candidates: CandidateStore,
        reading: TextReading,
        settings: Settings,
    ) -> None:
        self._database = database
        self._albums = albums
        self._pictures = pictures
        self._finder = finder
        self._candidates = candidates
        self._reading = reading
        self._settings = settings

    async def __call__(self, job: QueuedJob, progress: Progress) -> AnalysisResult | ResultPages:
        snapshot = await self._albums.load(job, progress)
        parameters = job.payload["parameters"]
        rest = progress.part(progress.share, 1.0)
        search = DuplicateSearch(
            self._database,
            self._pictures,
            self._finder,
            self._candidates,
            self._reading,
            self._settings,
            snapshot,
            job.user_id,
        )
        result = await search.run(parameters.get("level") or "copy", rest)
        return await keep_result(self._database, snapshot, "duplicates", parameters, lambda: result)
