"""Tags of images: the model's, and what their users say of them, which wins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.arrays import like

_AT_ONCE = 1000
_LOAD = text("""
    SELECT image_id, array_agg(tag ORDER BY verdict NULLS LAST, score DESC, tag) FROM image_tags
    WHERE image_id = ANY(CAST(:ids AS text[])) AND verdict IS NOT FALSE
    GROUP BY image_id
""")
_LOAD_SCORES = text("""
    SELECT image_id, jsonb_object_agg(tag, score) FROM image_tags
    WHERE image_id = ANY(CAST(:ids AS text[])) AND score IS NOT NULL
    GROUP BY image_id
""")
_LOCK_IMAGES = text("SELECT FROM images WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR NO KEY UPDATE")
"""Before their tags, as their users' changes do: of these some are new, and cannot be locked in order."""
_FORGET = text("""
    WITH kept AS (
        UPDATE image_tags SET score = NULL WHERE image_id = ANY(CAST(:ids AS text[])) AND verdict IS NOT NULL
    )
    DELETE FROM image_tags WHERE image_id = ANY(CAST(:ids AS text[])) AND verdict IS NULL
""")
_SAVE = text("""
    INSERT INTO image_tags (image_id, tag, score)
    SELECT images.id, tags.key, CAST(tags.value AS real)
    FROM jsonb_each(CAST(:rows AS jsonb)) AS new
    JOIN images ON images.id = new.key
    CROSS JOIN LATERAL jsonb_each_text(new.value) AS tags
    ORDER BY images.id, tags.key
    ON CONFLICT (image_id, tag) DO UPDATE SET score = excluded.score
""")


_LOAD_VERDICTS = text("""
    SELECT image_id, jsonb_object_agg(tag, verdict) FROM image_tags
    WHERE image_id = ANY(CAST(:ids AS text[])) AND verdict IS NOT NULL
    GROUP BY image_id
""")
_SAVE_VERDICTS = text("""
    INSERT INTO image_tags (image_id, tag, verdict)
    SELECT image_id, tag, verdict FROM unnest(CAST(:ids AS text[])) AS image_id
    CROSS JOIN unnest(CAST(:tags AS text[]), CAST(:verdicts AS boolean[])) AS new (tag, verdict)
    ORDER BY image_id, tag
    ON CONFLICT (image_id, tag) DO UPDATE SET verdict = excluded.verdict
""")
_COUNT_VERDICTS = text("""
    SELECT id, count(DISTINCT tag) FROM (
        SELECT image_id, tag FROM image_tags WHERE image_id = ANY(CAST(:ids AS text[])) AND verdict IS NOT NULL
        UNION ALL
        SELECT image_id, tag FROM unnest(CAST(:ids AS text[])) AS image_id, unnest(CAST(:tags AS text[])) AS tag
    ) AS told (id, tag) GROUP BY id
""")


async def load(session: AsyncSession, image_ids: Sequence[str]) -> dict[str, list[str]]:
    """Load the tags that hold for images: their users' own first, then the model's, the likeliest first."""
    return _by_image((await session.execute(_LOAD, {"ids": list(image_ids)})).all())


async def save_scores(session: AsyncSession, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Replace the model's tags of images: image id -> tag -> probability. Only what differs is written.

    What a user says of a tag stays.
    """
    ids = sorted(scores)
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        stored = _by_image((await session.execute(_LOAD_SCORES, {"ids": some})).all())
        changed = {image_id: dict(scores[image_id]) for image_id in some if _differ(scores[image_id], stored, image_id)}
        if changed:
            await session.execute(_LOCK_IMAGES, {"ids": sorted(changed)})
            await session.execute(_FORGET, {"ids": sorted(changed)})
            await session.execute(_SAVE, {"rows": json.dumps(changed)})


async def load_scores(session: AsyncSession, image_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """Load the model's tags: image id -> tag -> probability; images without any are left out."""
    found: dict[str, dict[str, float]] = {}
    for start in range(0, len(image_ids), _AT_ONCE):
        some = list(image_ids[start : start + _AT_ONCE])
        found |= _by_image((await session.execute(_LOAD_SCORES, {"ids": some})).all())
    return found


async def save_verdicts(
    session: AsyncSession, image_ids: Sequence[str], added: Sequence[str], removed: Sequence[str]
) -> None:
    """Record what the user says of tags of images; whatever the model says later, this holds."""
    verdicts = dict.fromkeys(added, True) | dict.fromkeys(removed, False)
    values = {"ids": list(image_ids), "tags": list(verdicts), "verdicts": list(verdicts.values())}
    await session.execute(_SAVE_VERDICTS, values)


async def count_verdicts(session: AsyncSession, image_ids: Sequence[str], tags: Sequence[str]) -> dict[str, int]:
    """Count the tags of which the user will have said something of each image, once of these too."""
    return _by_image((await session.execute(_COUNT_VERDICTS, {"ids": list(image_ids), "tags": list(tags)})).all())


async def load_verdicts(session: AsyncSession, image_ids: Sequence[str]) -> dict[str, dict[str, bool]]:
    """Load what users say of tags: image id -> tag -> added (true) or taken away (false)."""
    found: dict[str, dict[str, bool]] = {}
    for start in range(0, len(image_ids), _AT_ONCE):
        some = list(image_ids[start : start + _AT_ONCE])
        found |= _by_image((await session.execute(_LOAD_VERDICTS, {"ids": some})).all())
    return found


_OF_USER = text("""
    SELECT image_id, tag, verdict, score FROM image_tags JOIN images ON images.id = image_id
    WHERE tag = ANY(CAST(:tags AS text[])) AND images.user_id = :user_id
""")
_OWN = text("""
    SELECT DISTINCT tag FROM image_tags JOIN images ON images.id = image_id
    WHERE verdict AND images.user_id = :user_id AND trashed_at IS NULL
    AND (tag LIKE :start ESCAPE '!' OR tag LIKE :inside ESCAPE '!') ORDER BY tag LIMIT :limit
""")
_COUNT = text("""
    SELECT given.tag, count(found.image_id) FROM unnest(CAST(:tags AS text[])) AS given (tag)
    CROSS JOIN LATERAL (
        SELECT image_id FROM image_tags JOIN images ON images.id = image_id
        WHERE image_tags.tag = given.tag AND verdict IS NOT FALSE AND images.user_id = :user_id
        AND trashed_at IS NULL LIMIT :most
    ) AS found GROUP BY given.tag
""")


@dataclass(frozen=True, slots=True)
class ImageTag:
    """A tag of an image."""

    image_id: str
    tag: str
    verdict: bool | None
    score: float | None


async def find_images(session: AsyncSession, user_id: str, tags: Sequence[str]) -> list[ImageTag]:
    """Find what is said of these tags and the user's images, by the model and by the user."""
    return [ImageTag(*row) for row in await session.execute(_OF_USER, {"user_id": user_id, "tags": list(tags)})]


async def find_own(session: AsyncSession, user_id: str, start: str, limit: int) -> list[str]:
    """Find tags that the user gave, of which a word begins so."""
    escaped = like(start)
    given = {"user_id": user_id, "start": f"{escaped}%", "inside": f"% {escaped}%", "limit": limit}
    return list(await session.scalars(_OWN, given))


async def count_images(session: AsyncSession, user_id: str, tags: Sequence[str], most: int) -> dict[str, int]:
    """Count the user's images that have each of these tags, up to `most`; tags of none are left out."""
    rows = await session.execute(_COUNT, {"user_id": user_id, "tags": list(tags), "most": most})
    return {row[0]: row[1] for row in rows}


def _by_image(rows: Sequence[Any]) -> dict[str, Any]:
    return {row[0]: row[1] for row in rows}


def _differ(tags: Mapping[str, float], stored: Mapping[str, Mapping[str, float]], image_id: str) -> bool:
    known = stored.get(image_id, {})
    return tags.keys() != known.keys() or any(abs(tags[tag] - known[tag]) > 1e-4 for tag in tags)
