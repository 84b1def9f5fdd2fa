"""Albums as clients see them: request an analysis, look at what is known, search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Settings
from deployments.contracts.albums import Tagger
from deployments.contracts.arrays import VIEWS, Vectors
from deployments.errors import NotFound
from serve_app.services.albums.items import AnalysisKind, analysis_key
from serve_app.services.albums.results import AlbumList, AlbumSummary, AnalysisResult, Hit, ResultPages
from serve_app.services.albums.search import AlbumSearch
from serve_app.services.albums.snapshot import AlbumSnapshots
from serve_app.services.albums.stored_results import StoredResults
from serve_app.services.albums.tags import TagAlbum
from serve_app.services.images.references import own_image_id
from serve_app.services.images.store import ImageStore
from serve_app.services.quotas import check_albums
from serve_app.store.queue import jobs
from serve_app.store.repositories import albums, images, results, vectors
from serve_app.store.repositories.albums import StoredAlbum
from serve_app.store.session import Database

_EPHEMERAL_S = 24 * 3600.0
"""How long images of an ad-hoc call stay embedded, so that the next question about them is quick."""

_CHUNK = 512
"""Images whose vectors are held at once: 18 MB."""


@dataclass(frozen=True, slots=True)
class AlbumAnswer:
    """The stored result of an analysis, or the job that will have it."""

    job_id: str = ""
    result: AnalysisResult | ResultPages | None = None


class AlbumService:
    """Use cases of albums. Albums are found by the user's name for them, or by their id where they have none."""

    def __init__(
        self,
        database: Database,
        loader: AlbumSnapshots,
        pictures: ImageStore,
        stored: StoredResults,
        tagging: TagAlbum,
        tagger: Tagger,
        settings: Settings,
    ) -> None:
        self._database = database
        self._stored = stored
        self._loader = loader
        self._pictures = pictures
        self.by_words = AlbumSearch(tagging, tagger, self._vectors, settings)
        self._settings = settings

    async def request_embeddings(self, user_id: str, refs: Sequence[str], name: str | None) -> str:
        """Add the images to the album, made if need be, and start reading them. -> job id"""
        own = await self._own_images(user_id, refs)
        async with self._database.transaction() as session:
            await check_albums(session, self._settings.quotas, user_id, name)
            return await self._read_into(session, await albums.open_album(session, user_id, name), refs, own)

    async def add_images(self, user_id: str, name: str, refs: Sequence[str]) -> str:
        """Add the images to an album that is there, and start reading them. -> job id. Raises `NotFound`."""
        own = await self._own_images(user_id, refs)
        async with self._database.transaction() as session:
            return await self._read_into(session, await albums.find_own(session, user_id, name), refs, own)

    async def _read_into(
        self, session: AsyncSession, album: StoredAlbum, refs: Sequence[str], own: Sequence[str | None]
    ) -> str:
        await albums.add_refs(session, album.id, refs, own)
        job = await jobs.enqueue(
            session,
            user_id=album.user_id,
            kind="embeddings",
            album_id=album.id,
            payload={"refs": list(dict.fromkeys(refs)), "image_ids": [image_id for image_id in own if image_id]},
            max_attempts=self._settings.jobs.max_attempts,
            max_queued=self._settings.jobs.max_queued,
            max_queued_total=self._settings.jobs.max_queued_total,
        )
        return job.id

    async def request_analysis(
        self,
        user_id: str,
        kind: AnalysisKind,
        parameters: dict[str, Any],
        refs: Sequence[str] | None,
        name: str | None,
        detail: bool,
    ) -> AlbumAnswer:
        """Find the stored result for the album's present state, else start a job. Raises `NotFound`."""
        parameters = {key: value for key, value in parameters.items() if value is not None}
        own = await self._own_images(user_id, refs or ())
        dedupe_key = None
        if refs is None:
            async with self._database.transaction() as session:
                album = await albums.find_own(session, user_id, name or "")
                ready = await results.find(session, album.id, kind, results.params_key(parameters))
            if ready is not None and ready.album_version == album.version:
                found = await self._stored.answer(album, ready)
                if isinstance(found, AnalysisResult) and not detail:
                    found = found.without_details()
                return AlbumAnswer(result=found)
            if not detail:
                dedupe_key = analysis_key(album.id, kind, parameters, album.version)
        async with self._database.transaction() as session:
            if refs is not None:
                album = await albums.open_album(session, user_id, None, lives_s=_EPHEMERAL_S)
                await albums.add_refs(session, album.id, refs, own)
            job = await jobs.enqueue(
                session,
                user_id=user_id,
                kind=kind,
                album_id=album.id,
                payload={"parameters": parameters, "detail": detail},
                max_attempts=self._settings.jobs.max_attempts,
                dedupe_key=dedupe_key,
                priority=1,  # somebody waits for it
                max_queued=self._settings.jobs.max_queued,
                max_queued_total=self._settings.jobs.max_queued_total,
            )
        return AlbumAnswer(job_id=job.id)

    async def list_albums(self, user_id: str, limit: int, cursor: str | None) -> AlbumList:
        """List albums, the newest first, with the cursor of the next page. Ad-hoc calls' are left out."""
        async with self._database.transaction() as session:
            page = await albums.load_page(session, user_id, limit + 1, cursor)
        items = [AlbumSummary.of(album) for album in page[:limit]]
        return AlbumList(items=items, next_cursor=page[limit - 1].id if len(page) > limit else None)

    async def delete_album(self, user_id: str, name: str) -> None:
        """Delete the album with its vectors, faces and results; uploaded images stay. Raises `NotFound`.

        Its jobs are cancelled, which their workers and clients hear of at once.
        """
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, name)
            await jobs.publish_gone(session, await albums.remove(session, album.id) or [])
        await self._pictures.collect_unused()

    async def search(self, user_id: str, name: str, query: str, limit: int) -> list[Hit]:
        """Find images that the words fit, the best first: see `AlbumSearch`.

        Raises `NotFound`, `NotSupported` for words that the models do not know.
        """
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, name)
        snapshot = await self._loader.snapshot(album.id)
        if not snapshot.contents:
            return []
        found = await self.by_words.relevance(snapshot, query)
        hits = [Hit(image=item.ref, score=round(found.get(item.sha256, 0.0), 4)) for item in snapshot.items]
        return sorted((hit for hit in hits if hit.score > 0), key=_best_first)[:limit]

    async def similar(self, user_id: str, name: str, ref: str, limit: int) -> list[Hit]:
        """Find images of the album that look like one of the user's, without that one, by cosine of their vectors."""
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, name)
        snapshot = await self._loader.snapshot(album.id)
        sha = next((item.sha256 for item in snapshot.items if item.ref == ref), None)
        if sha is None:
            own = await self._own_images(user_id, [ref])
            if own[0] is None:
                raise NotFound("This picture is neither in the album nor one that you uploaded.")
            async with self._database.transaction() as session:
                image = await images.get(session, user_id, own[0])
            sha = image.content.sha256 if image else ""
        async with self._database.transaction() as session:
            [own], [is_embedded] = await vectors.load(session, self._settings.embedding_model, [sha])
        if not is_embedded:
            raise NotFound("This picture has not been embedded yet: post it to an album first.")
        cosine: dict[str, float] = {}
        async for shas, embedded in self._vectors(snapshot.shas):
            cosine |= dict(zip(shas, _cosine(own, embedded).tolist(), strict=True))
        hits = [
            Hit(image=item.ref, score=round(cosine[item.sha256], 4))
            for item in snapshot.items
            if item.ref != ref and item.sha256 in cosine
        ]
        return sorted(hits, key=_best_first)[:limit]

    async def _vectors(self, shas: Sequence[str]) -> AsyncIterator[tuple[list[str], Vectors]]:
        """Load vectors of the present model, `float32[N, V, D]`, some contents at a time; those without are left
        out."""
        for start in range(0, len(shas), _CHUNK):
            wanted = shas[start : start + _CHUNK]
            async with self._database.transaction() as session:
                embedded, present = await vectors.load(session, self._settings.embedding_model, wanted)
            if present.any():
                yield [sha for sha, there in zip(wanted, present, strict=True) if there], embedded[present]

    async def _own_images(self, user_id: str, refs: Sequence[str]) -> list[str | None]:
        """Look up the id of the user's image that each reference names; None: it names none."""
        ids = [own_image_id(ref) for ref in refs]
        async with self._database.transaction() as session:
            known = await images.load(session, user_id, [image_id for image_id in ids if image_id])
        usable = {image_id for image_id, image in known.items() if image.trashed_at is None}
        return [image_id if image_id in usable else None for image_id in ids]


def _cosine(one: Vectors, others: Vectors) -> Vectors:
    """Cosine of the whole-image views: `float32[V, D]` against `float32[N, V, D]`."""
    view = VIEWS.index("whole")
    rows = others[:, view]
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(one[view])
    return np.asarray(rows @ one[view] / np.maximum(norms, 1e-12), np.float32)


def _best_first(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.image
