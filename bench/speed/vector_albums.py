"""Albums of made-up vectors in a real database, searched for duplicate candidates as a worker does."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from bench.speed.duplicates import make_vectors
from configs.settings import Duplicates, Runtime, Settings
from deployments.algorithms.duplicates.candidates import ALWAYS, select_pairs
from deployments.algorithms.duplicates.view_vectors import cross_cosines, unit
from deployments.contracts.arrays import VIEWS, Packed, StoredVectors
from deployments.dedup import DedupDeployment
from serve_app.services.albums.candidate_search import CandidateSearch
from serve_app.services.albums.candidate_state import AlbumPairs
from serve_app.services.albums.candidate_store import CandidateStore
from serve_app.services.jobs.progress import Progress
from serve_app.storage import Storage, open_storage
from serve_app.store.embedded.server import ensure_running
from serve_app.store.migrate import upgrade
from serve_app.store.repositories import albums, vectors
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

MORE = 100
_MODEL = "made up"
_BLOCK = 500
_SAMPLE = 100
"""Pictures whose pairs are compared with all."""
_VIEW_NOISE = np.array([0.0, 0.5, 0.0, 0.8, 0.8, 0.8, 0.3], np.float32)
"""How far each view lies from the whole, in deviations of its numbers. Nothing is trimmed, as of most photographs."""


class CountingFinder(DedupDeployment):
    """The engine, which notes how many pictures asked."""

    asked = 0

    async def ask_index(
        self,
        index: Packed,
        vectors: StoredVectors,
        numbers: NDArray[np.int64],
        min_cosine: float,
        neighbours: int,
    ) -> NDArray[np.int64]:
        self.asked += len(numbers)
        return await super().ask_index(index, vectors, numbers, min_cosine, neighbours)


class VectorAlbum:
    """An album of `size` pictures and `MORE` that come later, under hashes of their numbers."""

    def __init__(self, database: Database, storage: Storage, folder: Path, size: int, settings: Settings) -> None:
        self.finder = CountingFinder(settings)
        self._database = database
        self._store = CandidateStore(database, storage, settings)
        self._folder = folder
        self._size = size
        self._limits = settings.duplicates

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, size: int, threads: int) -> AsyncIterator[VectorAlbum]:
        """Start a database in a folder, which may hold one."""
        settings = Settings(
            data_dir=folder, runtime=Runtime(threads=threads), duplicates=Duplicates(max_index_bytes=2**33)
        )
        with ensure_running(folder) as server:
            await upgrade(server.dsn)
            database = Database(server.dsn, application_name="bench")
            storage = await open_storage(None, settings)
            try:
                yield cls(database, storage, folder, size, settings)
            finally:
                await storage.close()
                await database.close()

    async def fill(self) -> None:
        """Make the pictures' rows and vectors, and the album."""
        wholes, planted = make_vectors(self._size + MORE)
        np.save(self._folder / "planted.npy", planted)
        shas = names(self._size + MORE)
        for start in range(0, len(shas), _BLOCK):
            part = slice(start, start + _BLOCK)
            async with self._database.transaction() as session:
                await session.execute(_ADD_CONTENTS, {"shas": shas[part]})
                await vectors.save(session, _MODEL, shas[part], _views(wholes[part], start))
        async with self._database.transaction() as session:
            await albums.open_album(session, LOCAL_USER_ID, "bench")

    async def forget(self) -> None:
        """Lose the index."""
        async with self._database.transaction() as session:
            await session.execute(text("DELETE FROM album_indexes"))

    async def search(self, count: int) -> AlbumPairs:
        """Search the first so many pictures, with the index that is kept."""
        async with self._database.transaction() as session:
            album = await albums.open_album(session, LOCAL_USER_ID, "bench")
        shas = sorted(names(count))
        search = CandidateSearch(self._load, self.finder, self._store, self._limits, _MODEL, album.id, shas)
        return await search.run(Progress())

    async def recall(self, found: AlbumPairs, size: int, added: int) -> dict[str, float]:
        """Compare some pictures, the added ones or a sample, with all. -> recall of their pairs and of planted ones"""
        every = names(size + added)
        shas = sorted(every)
        asking = list(range(size, size + added)) or np.linspace(0, size - 1, _SAMPLE).astype(int).tolist()
        place = {sha: at for at, sha in enumerate(shas)}
        chosen = [place[every[number]] for number in asking]
        true, cosine = await self._compare_with_all(shas, chosen)
        limits = self._limits
        best = select_pairs(true, cosine, len(shas), limits.min_cosine, limits.max_neighbours, ALWAYS)
        wanted = _of_the_nearest(best.left, best.right, best.cosine, set(chosen), limits.max_neighbours)
        pairs = set(zip(found.pairs.left.tolist(), found.pairs.right.tolist(), strict=True))
        planted = np.load(self._folder / "planted.npy").tolist()
        alike = {tuple(sorted((place[every[a]], place[every[b]]))) for a, b in planted if max(a, b) < len(every)}
        copies = wanted & alike
        return {
            "recall": len(wanted & pairs) / max(1, len(wanted)),
            "recall_copies": len(copies & pairs) / max(1, len(copies)),
        }

    def kept_bytes(self) -> int:
        """Size of the index that was written last."""
        files = [path.stat() for path in (self._folder / "files" / "indexes").rglob("*") if path.is_file()]
        return max(files, key=lambda stat: stat.st_mtime).st_size if files else 0

    async def _load(self, shas: Sequence[str]) -> tuple[StoredVectors, NDArray[np.bool_]]:
        async with self._database.transaction() as session:
            return await vectors.load_halves(session, _MODEL, shas)

    async def _compare_with_all(
        self, shas: Sequence[str], chosen: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        embedded, _ = await self._load([shas[place] for place in chosen])
        own = unit(embedded)
        pairs, cosines = [], []
        for start in range(0, len(shas), _BLOCK):
            embedded, _ = await self._load(shas[start : start + _BLOCK])
            cosine = cross_cosines(own, unit(embedded)).ravel()
            left, right = np.divmod(np.arange(len(cosine)), len(embedded))
            here = np.stack([np.asarray(chosen)[left], start + right], axis=1)
            near = (here[:, 0] != here[:, 1]) & (cosine >= self._limits.min_cosine)
            pairs.append(np.sort(here[near], axis=1))
            cosines.append(cosine[near])
        every, first = np.unique(np.concatenate(pairs), axis=0, return_index=True)
        return every, np.concatenate(cosines)[first]


def names(count: int) -> list[str]:
    """Make the hashes of pictures, in the order in which they come."""
    return [hashlib.sha256(number.to_bytes(8, "big")).hexdigest() for number in range(count)]


def _views(wholes: NDArray[np.float16], seed: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    rows = np.repeat(wholes[:, None].astype(np.float32), len(VIEWS), axis=1)
    noise = draw.standard_normal(rows.shape, np.float32) * (rows.std() * _VIEW_NOISE)[None, :, None]
    return np.maximum(rows + np.where(noise == 0, 0, noise), 0)


def _of_the_nearest(
    left: NDArray[np.int64], right: NDArray[np.int64], cosine: NDArray[np.float32], chosen: set[int], most: int
) -> set[tuple[int, int]]:
    """Find the pairs of the chosen with their own nearest: which of others' nearest they are was not compared."""
    rows: Iterator[tuple[int, int, float]] = zip(left.tolist(), right.tolist(), cosine.tolist(), strict=True)
    near: dict[int, list[tuple[float, tuple[int, int]]]] = {place: [] for place in chosen}
    for a, b, value in rows:
        for end in {a, b} & chosen:
            near[end].append((-value, (a, b)))
    return {pair for pairs in near.values() for _, pair in sorted(pairs)[:most]}


_ADD_CONTENTS = text("""
    INSERT INTO contents (sha256, size_bytes, content_type, width, height)
    SELECT sha, 1000000, 'image/jpeg', 4000, 3000 FROM unnest(CAST(:shas AS text[])) AS new (sha)
    ON CONFLICT DO NOTHING
""")
