"""Embedding vectors of file contents: stored as half precision bytes, handled as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

F = TypeVar("F", np.float16, np.float32)
_HALF = np.dtype("<f2")
_CHUNK = 500
"""File contents a statement: 500 of 7 views of 1280 numbers are 9 MB on the wire."""

_SAVE = text("""
    INSERT INTO picture_vectors (sha256, model, views, vectors)
    SELECT sha, :model, :views, vectors
    FROM unnest(CAST(:shas AS text[]), CAST(:vectors AS bytea[])) AS new (sha, vectors)
    WHERE EXISTS (SELECT FROM contents WHERE sha256 = sha)
    ORDER BY sha
    ON CONFLICT (sha256, model) DO UPDATE SET views = excluded.views, vectors = excluded.vectors
""")
_LOAD = text("""
    SELECT place, views, vectors
    FROM unnest(CAST(:shas AS text[])) WITH ORDINALITY AS wanted (sha, place)
    JOIN picture_vectors ON sha256 = sha AND model = :model
""")
_MISSING = text("""
    SELECT sha FROM unnest(CAST(:shas AS text[])) WITH ORDINALITY AS wanted (sha, place)
    WHERE NOT EXISTS (SELECT FROM picture_vectors WHERE sha256 = sha AND model = :model)
    ORDER BY place
""")


async def save(session: AsyncSession, model: str, shas: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Save `float32[N, V, D]` of N contents, by one model (its name tells its version); earlier ones are replaced.

    A content that no longer exists is left out. Raises `ValueError` when a number does not fit half precision.
    """
    if len(shas) != len(vectors) or vectors.ndim != 3:
        raise ValueError(f"{len(shas)} contents, vectors of shape {vectors.shape}: expected [N, V, D]")
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(vectors, dtype=_HALF)
    if not np.isfinite(halves).all():
        raise ValueError("A vector holds a number that is not finite in half precision")
    unique = {sha: row.tobytes() for sha, row in zip(shas, halves, strict=True)}
    if unique:
        parameters = {"model": model, "views": vectors.shape[1], "shas": list(unique), "vectors": list(unique.values())}
        await session.execute(_SAVE, parameters)


async def load(session: AsyncSession, model: str, shas: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Load `float32[N, V, D]`, a row for each content in the order given, and `bool[N]`: whether it has vectors.

    Rows without are zero. V and D are 0 when there are none at all.
    """
    return await _load(session, model, shas, np.float32)


async def load_halves(
    session: AsyncSession, model: str, shas: Sequence[str]
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Load the vectors as `load` does, as they are stored: `float16[N, V, D]`."""
    return await _load(session, model, shas, np.float16)


async def _load(
    session: AsyncSession, model: str, shas: Sequence[str], dtype: type[F]
) -> tuple[NDArray[F], NDArray[np.bool_]]:
    vectors = np.zeros((len(shas), 0, 0), dtype)
    present = np.zeros(len(shas), np.bool_)
    for start in range(0, len(shas), _CHUNK):
        wanted = list(shas[start : start + _CHUNK])
        rows = (await session.execute(_LOAD, {"model": model, "shas": wanted})).all()
        if not rows:
            continue
        views: int = rows[0].views
        shape: tuple[int, int] = (views, len(rows[0].vectors) // _HALF.itemsize // views)
        if vectors.shape[1:] == (0, 0):
            vectors = np.zeros((len(shas), *shape), dtype)
        for place, _, data in rows:
            vectors[start + place - 1] = np.frombuffer(data, _HALF).reshape(shape)
            present[start + place - 1] = True
    return vectors, present


async def find_missing(session: AsyncSession, model: str, shas: Sequence[str]) -> list[str]:
    """Find the contents that have no vectors of this model yet, each once, in the order given."""
    missing = await session.scalars(_MISSING, {"model": model, "shas": list(shas)})
    return list(dict.fromkeys(missing))
