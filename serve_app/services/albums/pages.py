"""Albums as clients see them, large ones in pages."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.services.albums.items import RESULT_KEYS
from serve_app.services.albums.result_pages import check_cursor
from serve_app.services.albums.result_sections import item_key
from serve_app.services.albums.results import (
    ALBUM_PARTS,
    Album,
    AlbumImage,
    AlbumPart,
    AlbumResults,
    AlbumSummary,
    ImageCounts,
    ImagePage,
)
from serve_app.services.albums.stored_results import StoredResults, load_whole
from serve_app.services.jobs.results import JobState
from serve_app.store.queue import jobs
from serve_app.store.repositories import albums, results
from serve_app.store.repositories.albums import StoredAlbum
from serve_app.store.session import Database

_FIRST_PAGE = 100
"""Images that the description of a large album shows."""
_SHOWN_WHOLE = ("tags", "duplicates", "people")


class AlbumPages:
    """Use cases of looking at albums. All raise `NotFound` where the user has no such album."""

    def __init__(self, database: Database, stored: StoredResults) -> None:
        self._database = database
        self._stored = stored

    async def get_album(self, user_id: str, name: str, parts: Collection[AlbumPart] = ALBUM_PARTS) -> Album:
        """Describe the album: its images, its jobs, and the latest result of each analysis; of a large album the first
        images, and where the rest and the results are. `parts`: those that are looked for."""
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, name)
            is_large = self._stored.is_large(album)
            most = _FIRST_PAGE if is_large else max(album.image_count, 1)
            first = ImagePage(items=[], next_cursor=None)
            if "images" in parts:
                first = await self._images(session, album, "", most)
            its_jobs = await jobs.load_for_album(session, album.id) if "jobs" in parts else []
            latest = await results.load_latest(session, album.id) if "results" in parts else {}
            whole: dict[str, Any] = dict.fromkeys(RESULT_KEYS[kind] for kind in _SHOWN_WHOLE)
            if not is_large:
                for kind in latest.keys() & set(_SHOWN_WHOLE):
                    whole[RESULT_KEYS[kind]] = getattr(await load_whole(session, latest[kind]), RESULT_KEYS[kind])
        pages = {kind: await self._stored.pages(album, result) for kind, result in latest.items()} if is_large else None
        return Album(
            **AlbumSummary.of(album).model_dump(),
            counts=ImageCounts(pending=album.pending_count, embedded=album.embedded_count, failed=album.failed_count),
            images=first.items,
            next_cursor=first.next_cursor,
            jobs=[JobState.of(job) for job in its_jobs],
            results=AlbumResults(**whole, pages=pages),
        )

    async def list_images(self, user_id: str, name: str, limit: int, cursor: str | None) -> ImagePage:
        """List the images of an album in the order in which they came. Raises `InvalidRequest` for a bad cursor."""
        after = check_cursor("images", cursor)
        async with self._database.transaction() as session:
            return await self._images(session, await albums.find_own(session, user_id, name), after, limit)

    async def list_entries(
        self,
        user_id: str,
        name: str,
        kind: str,
        section: str,
        limit: int,
        cursor: str | None,
        key: str | None = None,
        person: str | None = None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """List what an analysis found. -> entries of a section, cursor of the next page

        `key`: `params_key` of the result; default: the latest one. `person`: of the faces those of this person alone.
        Raises `InvalidRequest` for a bad cursor, `NotFound` where there is no such result.
        """
        after = check_cursor(section, cursor)
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, name)
        if person is None:
            return await self._stored.load_page(album, kind, key, section, after, limit)
        entries, following = await self._stored.load_page(album, kind, key, section, max(after, f"{person}."), limit)
        its = [entry for entry in entries if entry["person"] == person]
        return its, following if len(its) == len(entries) else None

    async def _images(self, session: AsyncSession, album: StoredAlbum, after: str, limit: int) -> ImagePage:
        items = await albums.load_page_of_items(session, album.id, int(after or 0), limit + 1)
        return ImagePage(
            items=[
                AlbumImage(
                    image=item.ref,
                    id=item.image_id,
                    status=item.status,
                    code=item.code,
                    detail=item.detail,
                    filename=item.filename,
                )
                for item in items[:limit]
            ],
            next_cursor=item_key(items[limit - 1].id) if len(items) > limit else None,
        )
