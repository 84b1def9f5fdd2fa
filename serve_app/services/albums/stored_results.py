"""Stored results as they are answered: whole for small albums, by page for large ones."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import NotFound
from serve_app.services.albums.result_pages import pages_of
from serve_app.services.albums.result_sections import Place, join
from serve_app.services.albums.results import ANALYSIS_RESULTS, AnalysisResult, ResultPages
from serve_app.services.albums.snapshot import cut_result, places_of
from serve_app.store.repositories import albums, result_parts, results
from serve_app.store.repositories.albums import StoredAlbum
from serve_app.store.repositories.result_parts import Entry
from serve_app.store.repositories.results import StoredResult
from serve_app.store.session import Database

_GONE = 10**18


async def load_whole(session: AsyncSession, stored: StoredResult) -> AnalysisResult:
    """Load a result with its details."""
    if stored.id is None:
        return ANALYSIS_RESULTS[stored.kind].model_validate(stored.payload)
    return join(stored.kind, await result_parts.load_all(session, stored.id))


class _PlacesOfThen(dict[str, Place]):
    """Places for a result that may name images which have left the album since: these come after all others."""

    def __missing__(self, ref: str) -> Place:
        return self.setdefault(ref, (_GONE + len(self), ""))


class StoredResults:
    """Results of albums, those of more than `most_whole` images by their pages."""

    def __init__(self, database: Database, most_whole: int) -> None:
        self._database = database
        self._most_whole = most_whole

    def is_large(self, album: StoredAlbum) -> bool:
        """Tell whether an album is answered in pages."""
        return album.image_count > self._most_whole

    async def answer(self, album: StoredAlbum, stored: StoredResult) -> AnalysisResult | ResultPages:
        """Answer with a stored result, with its details."""
        if self.is_large(album):
            return await self.pages(album, stored)
        async with self._database.transaction() as session:
            return await load_whole(session, stored)

    async def pages(self, album: StoredAlbum, stored: StoredResult) -> ResultPages:
        """Say where the pages of a result begin."""
        in_parts = await self._in_parts(album, stored)
        return pages_of(album.public_id, stored.kind, stored.params_key, in_parts.payload["counts"])

    async def load_page(
        self, album: StoredAlbum, kind: str, key: str | None, section: str, after: str, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Load entries of a result, the latest one where no `params_key` is given. -> entries, cursor of the next page

        Raises `NotFound`.
        """
        found, is_last = await self.load_keyed(album, kind, key, section, after, limit)
        return [entry for _, entry in found], None if is_last else found[-1][0]

    async def load_keyed(
        self, album: StoredAlbum, kind: str, key: str | None, section: str, after: str, limit: int
    ) -> tuple[list[Entry], bool]:
        """Load entries as `load_page` does. -> entries with their keys, which are cursors; whether they are the last"""
        async with self._database.transaction() as session:
            if key is None:
                stored = (await results.load_latest(session, album.id)).get(kind)
            else:
                stored = await results.find(session, album.id, kind, key)
        if stored is None:
            raise NotFound(f"Album '{album.public_id}' has no such result of {kind}: ask for the analysis first.")
        in_parts = await self._in_parts(album, stored)
        async with self._database.transaction() as session:
            found = await result_parts.load_page(session, in_parts.id or 0, section, after, limit + 1)
        return found[:limit], len(found) <= limit

    async def _in_parts(self, album: StoredAlbum, stored: StoredResult) -> StoredResult:
        """Bring a result of an earlier version, which lies whole in one row, into parts."""
        if stored.id is not None:
            return stored
        whole = ANALYSIS_RESULTS[stored.kind].model_validate(stored.payload)
        async with self._database.transaction() as session:
            items = await albums.load_items(session, album.id)
        counts, parts = await asyncio.to_thread(cut_result, stored.kind, whole, _PlacesOfThen(places_of(items)))
        named = (album.id, stored.kind, stored.params_key)
        async with self._database.transaction() as session:
            await results.save(session, *named, stored.album_version, {"counts": counts}, parts)
            saved = await results.find(session, *named)
        if saved is None:
            raise NotFound("The album was deleted meanwhile.")
        return saved
