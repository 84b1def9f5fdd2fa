"""Keeping of albums' indexes: a file each in the storage, which all workers reach, and a row that names it.

A file that is lost, damaged or of other settings is as good as none: the index is built anew from the vectors.
"""

from __future__ import annotations

import asyncio
import hashlib

import structlog

from configs.settings import Settings
from deployments.errors import NotFound, Unavailable
from serve_app.services.albums.candidate_state import CandidateState
from serve_app.storage import Storage, content_key
from serve_app.store.repositories import album_indexes
from serve_app.store.session import Database

log = structlog.get_logger(__name__)


class CandidateStore:
    """Reads and writes the states of albums' searches."""

    def __init__(self, database: Database, storage: Storage, settings: Settings) -> None:
        self._database = database
        self._storage = storage
        self._max_bytes = settings.duplicates.max_index_bytes

    async def load(self, album_id: str, fingerprint: str) -> CandidateState | None:
        """Load the album's state; None where there is none that can be used."""
        async with self._database.transaction() as session:
            key = await album_indexes.find(session, album_id)
        if key is None:
            return None
        try:
            data = await self._storage.get(key)
        except NotFound:
            log.warning("the index of an album is lost and will be built anew", album=album_id)
            return None
        state = await asyncio.to_thread(CandidateState.from_bytes, data, fingerprint)
        if state is None:
            log.info("the index of an album is of no use and will be built anew", album=album_id)
        return state

    async def save(self, album_id: str, state: CandidateState, fingerprint: str) -> None:
        """Keep the state in place of an earlier one.

        One that is too large, or that the storage does not take just now, is not kept: the next search takes longer.
        """
        data = await asyncio.to_thread(state.to_bytes, fingerprint)
        if len(data) > self._max_bytes:
            log.warning("the index of an album is larger than max_index_bytes", album=album_id, bytes=len(data))
            return
        digest = await asyncio.to_thread(hashlib.sha256, album_id.encode() + data)
        key = content_key("indexes", digest.hexdigest())
        async with self._database.transaction() as session:
            await album_indexes.announce(session, key, len(data))
        try:
            await self._storage.put(key, data)
        except Unavailable as error:
            log.warning("the index of an album could not be kept", album=album_id, error=str(error))
            return
        async with self._database.transaction() as session:
            await album_indexes.use(session, album_id, key)

    async def collect_unused(self) -> int:
        """Delete files that are no album's index any more. -> how many"""
        total = 0
        while True:
            async with self._database.transaction() as session:
                keys = await album_indexes.load_unused(session)
                for key in keys:
                    await self._storage.delete(key)
                await album_indexes.remove(session, keys)
            total += len(keys)
            if not keys:
                return total
