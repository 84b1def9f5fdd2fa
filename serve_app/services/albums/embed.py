"""The job behind `POST /albums/embeddings`."""

from __future__ import annotations

from serve_app.services.albums.ingest import AlbumIngester
from serve_app.services.albums.results import EmbeddingsResult
from serve_app.services.albums.snapshot import AlbumSnapshots, all_failed
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums
from serve_app.store.session import Database


class EmbedAlbum:
    """Handler of the job kind `embeddings`: reads what is pending in the album, reports on the references of the call.

    The follow-up jobs are added to its result when the job ends (`completion.finish`).
    """

    def __init__(self, database: Database, albums: AlbumSnapshots, reader: AlbumIngester) -> None:
        self._database = database
        self._albums = albums
        self._reader = reader

    async def __call__(self, job: QueuedJob, progress: Progress) -> EmbeddingsResult:
        """Raises `AllImagesFailed` when none of the call's images could be used."""
        assert job.album_id is not None  # noqa: S101 - the queue's rule for this kind
        await self._reader.read_album(job.user_id, job.album_id, progress)
        snapshot = await self._albums.snapshot(job.album_id)
        async with self._database.transaction() as session:
            album = await albums.get(session, job.album_id)
        asked, named = set(job.payload["refs"]), set(job.payload["image_ids"])
        failed = [failure for failure in snapshot.failed if failure.image in asked]
        embedded = sum(item.ref in asked or item.image_id in named for item in snapshot.items)
        if not embedded and failed:
            raise all_failed(failed)
        album_id = album.public_id if album else job.album_id
        return EmbeddingsResult(album_id=album_id, embedded=embedded, failed=failed, jobs=[])
