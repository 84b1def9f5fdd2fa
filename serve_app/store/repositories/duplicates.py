"""Decisions about groups of duplicates, and what they take over from one image to another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Decided = Literal["resolved", "dismissed"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A group of which the user has decided."""

    id: str
    status: Decided
    action_id: str
    found: dict[str, Any]
    """The group as it was then."""
    seq: int = 0


_APART = text("""
    SELECT DISTINCT a_sha256, b_sha256 FROM corrections
    WHERE user_id = :user_id AND kind = 'not_duplicate' AND undone_at IS NULL AND b_sha256 IS NOT NULL
    AND (
        CAST(:shas AS text[]) IS NULL
        OR (a_sha256 = ANY(CAST(:shas AS text[])) AND b_sha256 = ANY(CAST(:shas AS text[])))
    )
""")
_SAVE = text("""
    INSERT INTO duplicate_groups (album_id, id, user_id, status, action_id, found)
    SELECT :album_id, id, :user_id, status, :action_id, found
    FROM json_to_recordset(CAST(:rows AS json)) AS new (id text, status text, found json)
    ON CONFLICT (album_id, id) DO UPDATE
    SET status = excluded.status, action_id = excluded.action_id, found = excluded.found
""")
_COLUMNS = "id, status, action_id, found, seq"
_LOAD = text(f"""
    SELECT {_COLUMNS} FROM duplicate_groups WHERE album_id = :album_id AND id = ANY(CAST(:ids AS text[]))
""")  # noqa: S608 (our own names)
_PAGE = text(f"""
    SELECT {_COLUMNS} FROM duplicate_groups
    WHERE album_id = :album_id AND status = :status AND (CAST(:before AS bigint) IS NULL OR seq < :before)
    ORDER BY seq DESC LIMIT :limit
""")  # noqa: S608
_REMOVE = text("DELETE FROM duplicate_groups WHERE action_id = ANY(CAST(:actions AS text[]))")
_FIND_ENTRY = text("""
    SELECT entries FROM results JOIN result_parts ON result_id = results.id
    WHERE album_id = :album_id AND kind = 'duplicates' AND section = 'duplicates'
    AND strpos(CAST(entries AS text), :id) > 0
    ORDER BY album_version DESC, results.id
""")
_FIND_UNNAMED = text("""
    SELECT entry -> 1 AS entry
    FROM results JOIN result_parts ON result_id = results.id CROSS JOIN json_array_elements(entries) AS entry
    WHERE album_id = :album_id AND kind = 'duplicates' AND section = 'duplicates' AND entry -> 1 ->> 'id' IS NULL
    AND :id = (
        SELECT 'dup_' || left(encode(sha256(convert_to(string_agg(sha256, ' ' ORDER BY sha256), 'UTF8')), 'hex'), 32)
        FROM json_array_elements(entry -> 1 -> 'members') AS member
        JOIN album_images AS item ON item.album_id = results.album_id
            AND item.ref_sha256 = sha256(convert_to(member ->> 'image', 'UTF8'))
        JOIN images ON images.id = item.image_id
    )
    ORDER BY album_version DESC, results.id LIMIT 1
""")
"""Of results of an older version, whose groups bear no ids: by the one that the members make (`group_id`)."""
_TOUCH = text("""
    WITH held AS (
        SELECT id FROM albums WHERE user_id = :user_id AND id IN (
            SELECT album_id FROM album_images JOIN images ON images.id = image_id
            WHERE sha256 = ANY(CAST(:shas AS text[])) AND images.user_id = :user_id
        ) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE albums SET version = version + 1, updated_at = now() FROM held WHERE albums.id = held.id
""")
_TOUCH_HOLDERS = text("""
    WITH held AS (
        SELECT id FROM albums WHERE user_id = :user_id AND id IN (
            SELECT album_id FROM album_images WHERE image_id = ANY(CAST(:ids AS text[])) UNION ALL
            SELECT album_id FROM album_images WHERE id = ANY(CAST(:items AS bigint[]))
        ) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE albums SET version = version + 1, updated_at = now() FROM held WHERE albums.id = held.id
""")
_PAIRS = "unnest(CAST(:kept AS text[]), CAST(:gone AS text[])) AS pair (kept, gone)"
_MERGE_TAGS = text(f"""
    WITH wanted AS (
        SELECT DISTINCT kept, tag FROM {_PAIRS} JOIN image_tags ON image_id = gone AND verdict
        WHERE NOT EXISTS (
            SELECT FROM image_tags AS own WHERE own.image_id = kept AND own.tag = image_tags.tag
            AND own.verdict IS NOT NULL
        )
    ), ranked AS (
        SELECT kept, tag, row_number() OVER (PARTITION BY kept ORDER BY tag) + (
            SELECT count(*) FROM image_tags WHERE image_id = kept AND verdict IS NOT NULL
        ) AS place FROM wanted
    )
    INSERT INTO image_tags (image_id, tag, verdict) SELECT kept, tag, true FROM ranked WHERE place <= :most
    ON CONFLICT (image_id, tag) DO UPDATE SET verdict = true RETURNING image_id, tag
""")  # noqa: S608
_MERGE_ALBUMS = text(f"""
    INSERT INTO album_images (album_id, ref, ref_sha256, image_id, status)
    SELECT DISTINCT item.album_id, kept, sha256(convert_to(kept, 'UTF8')), kept, 'embedded'
    FROM {_PAIRS} JOIN album_images AS item ON item.image_id = gone
    WHERE NOT EXISTS (
        SELECT FROM album_images AS own WHERE own.album_id = item.album_id AND own.image_id = kept
    )
    ON CONFLICT (album_id, ref_sha256) DO NOTHING RETURNING image_id, id
""")  # noqa: S608
_MERGE_TIMES = text(f"""
    UPDATE images SET taken_at = first.taken_at, zone_min = first.zone_min
    FROM (
        SELECT DISTINCT ON (kept) kept, taken_at, zone_min FROM {_PAIRS} JOIN images ON images.id = gone
        WHERE taken_at IS NOT NULL ORDER BY kept, taken_at, images.id
    ) AS first
    WHERE images.id = first.kept AND images.taken_at IS NULL RETURNING images.id, CAST(images.taken_at AS text)
""")  # noqa: S608
_FORGET_TAGS = text("""
    WITH given AS (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:tags AS text[])) AS given (id, tag)), kept AS (
        UPDATE image_tags SET verdict = NULL FROM given
        WHERE image_id = given.id AND image_tags.tag = given.tag AND verdict AND score IS NOT NULL
    )
    DELETE FROM image_tags USING given
    WHERE image_id = given.id AND image_tags.tag = given.tag AND verdict AND score IS NULL
""")
_FORGET_ITEMS = text("DELETE FROM album_images WHERE id = ANY(CAST(:items AS bigint[]))")
_FORGET_TIMES = text("""
    UPDATE images SET taken_at = NULL, zone_min = NULL
    FROM unnest(CAST(:ids AS text[]), CAST(:times AS text[])) AS given (id, time)
    WHERE images.id = given.id AND images.taken_at = CAST(given.time AS timestamptz)
""")
_OF_JOB = text("""
    SELECT action_id, value FROM corrections
    WHERE user_id = :user_id AND kind = 'resolve' AND value ->> 'job' = :job_id
""")


async def load_apart(session: AsyncSession, user_id: str, shas: Sequence[str] | None = None) -> list[tuple[str, str]]:
    """Load the pairs of file contents that a user said to be no duplicates, by SHA-256: all, or those among `shas`."""
    given = {"user_id": user_id, "shas": None if shas is None else list(shas)}
    return [(row[0], row[1]) for row in await session.execute(_APART, given)]


async def touch_albums(session: AsyncSession, user_id: str, shas: Sequence[str]) -> None:
    """Give the user's albums that hold any of these contents their next version, and lock them until the transaction
    ends."""
    await session.execute(_TOUCH, {"user_id": user_id, "shas": list(shas)})


async def touch_holders(
    session: AsyncSession, user_id: str, image_ids: Sequence[str], items: Sequence[int] = ()
) -> None:
    """Give the user's albums that hold any of these images or items their next version, and lock them until the
    transaction ends."""
    await session.execute(_TOUCH_HOLDERS, {"user_id": user_id, "ids": list(image_ids), "items": list(items)})


async def save(session: AsyncSession, user_id: str, album_id: str, decisions: Sequence[Decision]) -> None:
    """Save decisions about groups of an album, all by one action."""
    rows = [{"id": one.id, "status": one.status, "found": one.found} for one in decisions]
    values = {"user_id": user_id, "album_id": album_id, "action_id": decisions[0].action_id, "rows": json.dumps(rows)}
    await session.execute(_SAVE, values)


async def remove(session: AsyncSession, actions: Sequence[str]) -> None:
    """Remove what these actions decided."""
    await session.execute(_REMOVE, {"actions": list(actions)})


async def load(session: AsyncSession, album_id: str, ids: Sequence[str]) -> dict[str, Decision]:
    """Load what was decided of these groups, by id."""
    rows = await session.execute(_LOAD, {"album_id": album_id, "ids": list(ids)})
    return {row.id: Decision(*row) for row in rows}


async def load_page(
    session: AsyncSession, album_id: str, status: Decided, before: int | None, limit: int
) -> list[Decision]:
    """Load decisions of one kind, the latest first, those before a `seq`."""
    given = {"album_id": album_id, "status": status, "before": before, "limit": limit}
    return [Decision(*row) for row in await session.execute(_PAGE, given)]


async def find_entry(session: AsyncSession, album_id: str, group_id: str) -> dict[str, Any] | None:
    """Find a group among those that the latest search of each level found. -> its entry"""
    for entries in await session.scalars(_FIND_ENTRY, {"album_id": album_id, "id": group_id}):
        for _, entry in entries:
            if entry.get("id") == group_id:
                return dict(entry)
    unnamed: dict[str, Any] | None = await session.scalar(_FIND_UNNAMED, {"album_id": album_id, "id": group_id})
    return unnamed


async def load_of_job(session: AsyncSession, user_id: str, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Load what a job has decided already. -> action and value of each correction"""
    return [(row[0], row[1]) for row in await session.execute(_OF_JOB, {"user_id": user_id, "job_id": job_id})]


async def merge_tags(session: AsyncSession, kept: Sequence[str], gone: Sequence[str], most: int) -> list[list[str]]:
    """Give each kept image the tags that its user gave to the one that goes, up to `most`. -> image and tag of each"""
    rows = await session.execute(_MERGE_TAGS, {"kept": list(kept), "gone": list(gone), "most": most})
    return [list(row) for row in rows]


async def merge_albums(session: AsyncSession, kept: Sequence[str], gone: Sequence[str]) -> list[tuple[str, int]]:
    """Put each kept image into the albums of the one that goes. -> image and new item of each"""
    rows = await session.execute(_MERGE_ALBUMS, {"kept": list(kept), "gone": list(gone)})
    return [(row[0], row[1]) for row in rows]


async def merge_times(session: AsyncSession, kept: Sequence[str], gone: Sequence[str]) -> list[list[str]]:
    """Give each kept image without a time the earliest of those that go. -> image and time of each"""
    return [list(row) for row in await session.execute(_MERGE_TIMES, {"kept": list(kept), "gone": list(gone)})]


async def unmerge(
    session: AsyncSession,
    user_id: str,
    tags: Sequence[Sequence[str]],
    items: Sequence[int],
    times: Sequence[Sequence[str]],
) -> None:
    """Take back what was merged, where it is still so. The albums of these images get their next version."""
    await touch_holders(session, user_id, [one[0] for one in (*tags, *times)], items)
    await session.execute(_FORGET_TAGS, {"ids": [one[0] for one in tags], "tags": [one[1] for one in tags]})
    await session.execute(_FORGET_ITEMS, {"items": list(items)})
    await session.execute(_FORGET_TIMES, {"ids": [one[0] for one in times], "times": [one[1] for one in times]})
