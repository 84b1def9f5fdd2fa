"""Image quality assessments of file contents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.arrays import any_text
from serve_app.store.models import PictureQualityRow


@dataclass(frozen=True, slots=True)
class StoredQuality:
    """Quality of an image; all numbers 0 to 1."""

    sharpness: float
    exposure: float
    score: float
    issues: tuple[str, ...]


_AT_ONCE = 1000
_SAVE = text("""
    INSERT INTO picture_quality (sha256, sharpness, exposure, score, issues)
    SELECT sha256, sharpness, exposure, score, ARRAY(SELECT jsonb_array_elements_text(issues))
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS new (sha256 text, sharpness float8, exposure float8, score float8, issues jsonb)
    WHERE EXISTS (SELECT FROM contents WHERE contents.sha256 = new.sha256)
    ORDER BY sha256
    ON CONFLICT (sha256) DO UPDATE SET
        sharpness = excluded.sharpness, exposure = excluded.exposure, score = excluded.score, issues = excluded.issues
""")


_COPY = text("""
    WITH held AS (
        SELECT id, score FROM images JOIN picture_quality USING (sha256)
        WHERE images.sha256 = ANY(CAST(:shas AS text[])) AND images.quality IS DISTINCT FROM score
        ORDER BY id FOR NO KEY UPDATE OF images
    )
    UPDATE images SET quality = score FROM held WHERE images.id = held.id
""")
"""Locks images in order, as everywhere (`images.lock`)."""


async def save(session: AsyncSession, quality: Mapping[str, StoredQuality]) -> None:
    """Save assessments by SHA-256; earlier ones are replaced, contents that no longer exist are left out."""
    rows = [
        {
            "sha256": sha,
            "sharpness": one.sharpness,
            "exposure": one.exposure,
            "score": one.score,
            "issues": list(one.issues),
        }
        for sha, one in quality.items()
    ]
    await session.execute(_SAVE, {"rows": json.dumps(rows)})
    await session.execute(_COPY, {"shas": sorted(quality)})


async def load(session: AsyncSession, shas: Sequence[str]) -> dict[str, StoredQuality]:
    """Load the assessments of those contents that have one, some at a time for the sake of the event loop."""
    columns = (
        PictureQualityRow.sha256,
        PictureQualityRow.sharpness,
        PictureQualityRow.exposure,
        PictureQualityRow.score,
        PictureQualityRow.issues,
    )
    found: dict[str, StoredQuality] = {}
    for start in range(0, len(shas), _AT_ONCE):
        some = any_text(shas[start : start + _AT_ONCE])
        rows = await session.execute(select(*columns).where(PictureQualityRow.sha256 == some))
        found |= {
            sha: StoredQuality(sharpness, exposure, score, tuple(issues))
            for sha, sharpness, exposure, score, issues in rows
        }
    return found
