"""Faces of file contents, and which contents were searched for faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.albums import Face

_SINGLE = np.dtype("<f4")
_AT_ONCE = 1000
"""Contents whose faces are read by one query."""


@dataclass(frozen=True, slots=True)
class StoredFaces:
    """M faces of N file contents, by content and then by confidence."""

    ids: NDArray[np.int64]
    """Face ids, `int64[M]`, as in `persons`."""
    pictures: NDArray[np.int64]
    """`int64[M]`, the index of each face's content in the list that was passed to `load`."""
    boxes: NDArray[np.float32]
    """`float32[M, 4]`."""
    scores: NDArray[np.float32]
    """`float32[M]`."""
    quality: NDArray[np.float32]
    """`float32[M]`."""
    vectors: NDArray[np.float32]
    """`float32[M, D]`; D is 0 when there are none."""
    scanned: NDArray[np.bool_]
    """`bool[N]`: whether the content was searched at all."""


_SAVE_SCANS = text("""
    INSERT INTO face_scans (sha256, model)
    SELECT sha, :model FROM unnest(CAST(:shas AS text[])) AS new (sha)
    WHERE EXISTS (SELECT FROM contents WHERE sha256 = sha)
    ORDER BY sha
    ON CONFLICT DO NOTHING
    RETURNING sha256
""")
_SAVE_FACES = text("""
    INSERT INTO faces (sha256, model, ordinal, bbox, score, quality, landmarks, vector)
    SELECT sha, :model, ordinal, ARRAY[x1, y1, x2, y2], score, quality, landmarks, vector
    FROM unnest(
        CAST(:shas AS text[]), CAST(:ordinals AS smallint[]),
        CAST(:x1 AS real[]), CAST(:y1 AS real[]), CAST(:x2 AS real[]), CAST(:y2 AS real[]),
        CAST(:scores AS float8[]), CAST(:quality AS float8[]), CAST(:landmarks AS bytea[]), CAST(:vectors AS bytea[])
    ) AS new (sha, ordinal, x1, y1, x2, y2, score, quality, landmarks, vector)
""")
_SCANNED = text("""
    SELECT place FROM unnest(CAST(:shas AS text[])) WITH ORDINALITY AS wanted (sha, place)
    JOIN face_scans ON sha256 = sha AND model = :model
""")
_LOAD = text("""
    SELECT id, place, bbox, score, quality, vector
    FROM unnest(CAST(:shas AS text[])) WITH ORDINALITY AS wanted (sha, place)
    JOIN faces ON sha256 = sha AND model = :model
    ORDER BY place, ordinal
""")
_MISSING = text("""
    SELECT sha FROM unnest(CAST(:shas AS text[])) WITH ORDINALITY AS wanted (sha, place)
    WHERE NOT EXISTS (SELECT FROM face_scans WHERE sha256 = sha AND model = :model)
    ORDER BY place
""")
_OUTDATED = text("""
    SELECT albums.id, albums.user_id, albums.version FROM albums
    WHERE expires_at IS NULL
    AND (
        EXISTS (
            SELECT FROM person_faces JOIN faces ON faces.id = face_id
            WHERE person_faces.album_id = albums.id AND faces.model <> :model
        )
        OR EXISTS (
            SELECT FROM album_images JOIN images ON images.id = image_id
            WHERE album_images.album_id = albums.id AND status = 'embedded'
            AND NOT EXISTS (SELECT FROM face_scans WHERE face_scans.sha256 = images.sha256 AND model = :model)
        )
    )
    AND NOT EXISTS (
        SELECT FROM jobs WHERE jobs.album_id = albums.id
        AND (
            kind IN ('people', 'embeddings') AND status IN ('queued', 'running')
            OR kind = 'people' AND status IN ('failed', 'cancelled')
                AND finished_at > now() - make_interval(secs => :pause_s)
        )
    )
    ORDER BY albums.id
    LIMIT :most
""")
_REMOVE_REPLACED = text("""
    DELETE FROM face_scans WHERE (sha256, model) IN (
        SELECT old.sha256, old.model FROM face_scans AS old
        JOIN face_scans AS present ON present.sha256 = old.sha256 AND present.model = :model
        WHERE old.model <> :model
        AND NOT EXISTS (
            SELECT FROM faces JOIN person_faces ON face_id = faces.id
            WHERE faces.sha256 = old.sha256 AND faces.model = old.model
        )
        AND NOT EXISTS (
            SELECT FROM faces JOIN people_faces ON face_id = faces.id
            WHERE faces.sha256 = old.sha256 AND faces.model = old.model
        )
        ORDER BY old.sha256
        LIMIT :most
    )
    RETURNING sha256
""")
_LANDMARKS = text("SELECT id, landmarks FROM faces WHERE id = ANY(CAST(:ids AS bigint[]))")


async def save(session: AsyncSession, model: str, found: Mapping[str, Sequence[Face]]) -> None:
    """Save the faces of each content, by SHA-256; an empty list marks the content as searched.

    A content that was searched before keeps its faces, so that their ids stay what persons refer to; one that no longer
    exists is left out.
    """
    new = set(await session.scalars(_SAVE_SCANS, {"model": model, "shas": list(found)}))
    rows = [(sha, place, face) for sha in sorted(new) for place, face in enumerate(found[sha])]
    if not rows:
        return
    parameters = {
        "model": model,
        "shas": [sha for sha, _, _ in rows],
        "ordinals": [place for _, place, _ in rows],
        "scores": [float(face.score) for _, _, face in rows],
        "quality": [float(face.quality) for _, _, face in rows],
        "landmarks": [np.ascontiguousarray(face.landmarks, _SINGLE).tobytes() for _, _, face in rows],
        "vectors": [np.ascontiguousarray(face.embedding, _SINGLE).tobytes() for _, _, face in rows],
    }
    for corner, name in enumerate(("x1", "y1", "x2", "y2")):
        parameters[name] = [float(np.float32(face.bbox[corner])) for _, _, face in rows]
    await session.execute(_SAVE_FACES, parameters)


async def load(session: AsyncSession, model: str, shas: Sequence[str]) -> StoredFaces:
    """Load the faces of contents, without landmarks, which are long and seldom needed. Some contents at a time, since
    making arrays of 100,000 rows at once would keep the event loop for a second."""
    parts = [
        await _load_some(session, model, shas[start : start + _AT_ONCE], start)
        for start in range(0, len(shas), _AT_ONCE)
    ] or [await _load_some(session, model, (), 0)]
    vectors = [part.vectors for part in parts if len(part.ids)]  # of contents without a face their width is unknown
    return StoredFaces(
        ids=np.concatenate([part.ids for part in parts]),
        pictures=np.concatenate([part.pictures for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        quality=np.concatenate([part.quality for part in parts]),
        vectors=np.concatenate(vectors) if vectors else parts[0].vectors,
        scanned=np.concatenate([part.scanned for part in parts]),
    )


async def _load_some(session: AsyncSession, model: str, shas: Sequence[str], first: int) -> StoredFaces:
    """Load the faces of contents. `first`: the index of the first of them in the whole list."""
    parameters = {"model": model, "shas": list(shas)}
    scanned = np.zeros(len(shas), np.bool_)
    scanned[[place - 1 for place in await session.scalars(_SCANNED, parameters)]] = True
    rows = (await session.execute(_LOAD, parameters)).all()
    vectors = np.frombuffer(b"".join(row.vector for row in rows), _SINGLE)
    return StoredFaces(
        ids=np.array([row.id for row in rows], np.int64),
        pictures=np.array([first + row.place - 1 for row in rows], np.int64),
        boxes=np.array([row.bbox for row in rows], np.float32).reshape(-1, 4),
        scores=np.array([row.score for row in rows], np.float32),
        quality=np.array([row.quality for row in rows], np.float32),
        vectors=vectors.reshape(len(rows), -1).astype(np.float32) if rows else np.zeros((0, 0), np.float32),
        scanned=scanned,
    )


async def load_landmarks(session: AsyncSession, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """Load landmarks, `float32[K, 2]`, by face id."""
    rows = await session.execute(_LANDMARKS, {"ids": [int(face_id) for face_id in ids]})
    return {face_id: np.frombuffer(data, _SINGLE).reshape(-1, 2).astype(np.float32) for face_id, data in rows}


async def find_missing(session: AsyncSession, model: str, shas: Sequence[str]) -> list[str]:
    """Find the contents that this model has not searched yet, each once, in the order given."""
    missing = await session.scalars(_MISSING, {"model": model, "shas": list(shas)})
    return list(dict.fromkeys(missing))


@dataclass(frozen=True, slots=True)
class OutdatedAlbum:
    """An album whose faces or persons are not all of the present model."""

    id: str
    user_id: str
    version: int


async def find_outdated(session: AsyncSession, model: str, most: int, pause_s: float) -> list[OutdatedAlbum]:
    """Find up to `most` albums that hold images without faces by `model`, or persons with another model's faces.

    Albums with a job that will see to it are left out, and for `pause_s` seconds those whose last one failed or was
    cancelled. Hidden albums of ad-hoc calls are left to expire.
    """
    rows = await session.execute(_OUTDATED, {"model": model, "most": most, "pause_s": pause_s})
    return [OutdatedAlbum(*row) for row in rows]


async def remove_replaced(session: AsyncSession, model: str, most: int = 500) -> int:
    """Remove faces of other models where `model` has searched the content too and no person consists of them any more.

    -> how many contents' faces were removed, at most `most`
    """
    gone = await session.scalars(_REMOVE_REPLACED, {"model": model, "most": most})
    return len(gone.all())
