"""Parts of results: entries in the order of their keys, cut so that an entry more changes one part."""

from __future__ import annotations

import hashlib
import itertools
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.models import ResultPartRow

Entry = tuple[str, dict[str, Any]]
"""Key and value of an entry. Keys are ASCII, unique in their section, and sort byte by byte in its order."""

PART_ENTRIES = 128
"""Mean number of entries of a part."""
MOST_BYTES = 2**17
"""Bytes of JSON with which a part ends at the latest, unless one entry is larger."""
_PARTS_A_STATEMENT = 64
_PARTS_A_READ = 2


@dataclass(frozen=True, slots=True)
class Part:
    """Some entries of a section."""

    section: str
    last_key: str
    size: int
    """Number of entries."""
    entries: str
    """JSON list of `[key, value]`."""

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.entries.encode()).digest()


_SAVE = text("""
    INSERT INTO result_parts (result_id, section, last_key, size, digest, entries)
    SELECT :result_id, section, last_key, size, digest, CAST(entries AS json)
    FROM unnest(
        CAST(:sections AS text[]), CAST(:keys AS text[]), CAST(:sizes AS integer[]), CAST(:digests AS bytea[]),
        CAST(:entries AS text[])
    ) AS new (section, last_key, size, digest, entries)
    ON CONFLICT (result_id, section, last_key)
    DO UPDATE SET size = excluded.size, digest = excluded.digest, entries = excluded.entries
""")
_REMOVE = text("""
    DELETE FROM result_parts USING unnest(CAST(:sections AS text[]), CAST(:keys AS text[])) AS gone (section, last_key)
    WHERE result_parts.result_id = :result_id AND result_parts.section = gone.section
    AND result_parts.last_key = gone.last_key
""")


def cut(section: str, entries: Iterable[Entry]) -> list[Part]:
    """Cut the entries of a section, sorted by key, into parts.

    Where a part ends is decided by the key of its last entry alone (content-defined chunking), so that whatever is
    added or removed leaves all parts but its own as they are. A part that grows over `MOST_BYTES` ends there.
    """
    parts: list[Part] = []
    held: list[str] = []
    size = 0
    key = ""
    for key, value in entries:
        held.append(json.dumps([key, value], ensure_ascii=False, separators=(",", ":")))
        size += len(held[-1])
        if size >= MOST_BYTES or zlib.crc32(key.encode()) % PART_ENTRIES == 0:
            parts.append(_part(section, key, held))
            held, size = [], 0
    return [*parts, _part(section, key, held)] if held else parts


def _part(section: str, last_key: str, held: Sequence[str]) -> Part:
    return Part(section, last_key, len(held), f"[{','.join(held)}]")


async def save_parts(session: AsyncSession, result_id: int, parts: Sequence[Part]) -> None:
    """Make `parts` those of a result, writing and removing what differs. The caller holds the lock of the result."""
    columns = (ResultPartRow.section, ResultPartRow.last_key, ResultPartRow.digest)
    rows = await session.execute(select(*columns).where(ResultPartRow.result_id == result_id))
    stored = {(section, key): digest for section, key, digest in rows}
    new = [part for part in parts if stored.pop((part.section, part.last_key), None) != part.digest]
    if stored:
        sections, keys = zip(*stored, strict=True)
        await session.execute(_REMOVE, {"result_id": result_id, "sections": list(sections), "keys": list(keys)})
    for start in range(0, len(new), _PARTS_A_STATEMENT):
        some = new[start : start + _PARTS_A_STATEMENT]
        parameters = {
            "result_id": result_id,
            "sections": [part.section for part in some],
            "keys": [part.last_key for part in some],
            "sizes": [part.size for part in some],
            "digests": [part.digest for part in some],
            "entries": [part.entries for part in some],
        }
        await session.execute(_SAVE, parameters)


async def load_all(session: AsyncSession, result_id: int) -> dict[str, list[dict[str, Any]]]:
    """Load all entries of a result by section, in order."""
    statement = (
        select(ResultPartRow.section, ResultPartRow.entries)
        .where(ResultPartRow.result_id == result_id)
        .order_by(ResultPartRow.section, ResultPartRow.last_key)
    )
    rows = (await session.execute(statement)).all()
    return {
        section: [value for row in of for _, value in row.entries]
        for section, of in itertools.groupby(rows, lambda row: row.section)
    }


async def load_page(session: AsyncSession, result_id: int, section: str, after: str, limit: int) -> list[Entry]:
    """Load the first `limit` entries of a section whose keys are greater than `after`."""
    found: list[Entry] = []
    end = after
    while len(found) < limit:
        statement = (
            select(ResultPartRow.last_key, ResultPartRow.entries)
            .where(ResultPartRow.result_id == result_id, ResultPartRow.section == section, ResultPartRow.last_key > end)
            .order_by(ResultPartRow.last_key)
            .limit(_PARTS_A_READ)
        )
        rows = (await session.execute(statement)).all()
        if not rows:
            break
        end = rows[-1].last_key
        found += [(key, value) for row in rows for key, value in row.entries if key > after]
    return found[:limit]
