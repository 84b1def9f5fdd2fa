"""The job behind `POST /albums/embeddings`."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.errors import AllImagesFailed
from serve_app.services.albums.ingest import AlbumIngester
from serve_app.services.albums.snapshot import AlbumSnapshots
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the call answers, before the follow-up jobs have ids."""

    album_id: str
    embedded: int
    failed: list[dict[str, str]]


class EmbedAlbum:
    """Reads what is pending in the album; speaks of the references of this call."""

    def __init__(self, database: Database, albums: AlbumSnapshots, reader: AlbumIngester) -> None:
        self._database = database
        self._albums = albums
        self._reader = reader

    async def __call__(self, job: QueuedJob, progress: Progress) -> Embedded:
        assert job.album_id is not None  # noqa: S101 - the queue's rule for this kind
        await self._reader.read_album(job.user_id, job.album_id, progress)
        snapshot = await self._albums.snapshot(job.album_id)
        async with self._database.transaction() as session:
            album = await albums.get(session, job.album_id)
        asked, named = set(job.payload["refs"]), set(job.payload["image_ids"])
        failed = [failure.view() for failure in snapshot.failures if failure.ref in asked]
        embedded = sum(item.ref in asked or item.image_id in named for item in snapshot.items)
        if not embedded and failed:
            raise AllImagesFailed(f"None of the {len(failed)} images could be used.", extra={"failed": failed})
        return Embedded(album.public_id if album else job.album_id, embedded, failed)
