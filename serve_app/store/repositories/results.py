"""Latest analysis results of an album, by kind and parameters.

What was found lies in parts (`result_parts`), of which a new result writes those that differ; the result's own row
holds only what is read at once. Results of earlier versions lie whole in `analysis_results`, and are read from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, Text, delete, func, text
from sqlalchemy.dialects.postgresql import JSON, TIMESTAMP, insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.models import AnalysisResultRow, ResultRow
from serve_app.store.repositories.result_parts import Part, save_parts


@dataclass(frozen=True, slots=True)
class StoredResult:
    """An analysis result."""

    kind: str
    params_key: str
    album_version: int
    """The album's version at the analysis; when it is lower than the album's own, the result is out of date."""
    payload: dict[str, Any]
    """What its row holds: with an `id` about its parts, without one all that was found."""
    created_at: datetime
    id: int | None = None
    """Id that its parts name; None: a result of an earlier version, which has none."""


_STORED = """
    SELECT kind, params_key, album_version, payload, created_at, id FROM results WHERE album_id = :album_id
    UNION ALL
    SELECT kind, params_key, album_version, payload, created_at, NULL FROM analysis_results WHERE album_id = :album_id
"""
_NEWEST_FIRST = "album_version DESC, created_at DESC, params_key"
_TYPES = {"kind": Text, "params_key": Text, "album_version": Integer, "payload": JSON, "id": Integer}
_FIND = text(
    f"SELECT * FROM ({_STORED}) AS stored WHERE kind = :kind AND params_key = :key "  # noqa: S608 (our own names)
    "ORDER BY album_version DESC, id NULLS LAST LIMIT 1"
).columns(**_TYPES, created_at=TIMESTAMP(timezone=True))
_LATEST = text(
    f"SELECT DISTINCT ON (kind) * FROM ({_STORED}) AS stored ORDER BY kind, {_NEWEST_FIRST}"  # noqa: S608
).columns(**_TYPES, created_at=TIMESTAMP(timezone=True))


def params_key(params: Mapping[str, Any]) -> str:
    """Hash the parameters that a result depends on besides the album: equal parameters, equal key."""
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


async def save(
    session: AsyncSession,
    album_id: str,
    kind: str,
    key: str,
    album_version: int,
    payload: Mapping[str, Any],
    parts: Sequence[Part] = (),
) -> bool:
    """Save a result, unless one of a later version of the album is stored. -> whether it was saved

    Parts that are stored already are not written again.
    """
    row = {
        "album_id": album_id,
        "kind": kind,
        "params_key": key,
        "album_version": album_version,
        "payload": dict(payload),
    }
    statement = insert(ResultRow).values(row)
    saved = await session.scalar(
        statement.on_conflict_do_update(
            index_elements=[ResultRow.album_id, ResultRow.kind, ResultRow.params_key],
            set_={
                "album_version": statement.excluded.album_version,
                "payload": statement.excluded.payload,
                "created_at": func.now(),
            },
            where=ResultRow.album_version <= statement.excluded.album_version,
        ).returning(ResultRow.id)
    )
    if saved is None:
        return False
    await save_parts(session, saved, parts)
    older = AnalysisResultRow.album_version <= album_version
    its = (AnalysisResultRow.album_id == album_id, AnalysisResultRow.kind == kind, AnalysisResultRow.params_key == key)
    await session.execute(delete(AnalysisResultRow).where(*its, older))
    return True


async def remove(session: AsyncSession, album_id: str, kind: str, *, but: Mapping[str, Any] | None = None) -> None:
    """Remove the album's results of one kind, whatever their parameters; those of the parameters `but` stay."""
    kept = "" if but is None else params_key(but)
    for table in (ResultRow, AnalysisResultRow):
        its = (table.album_id == album_id, table.kind == kind, table.params_key != kept)
        await session.execute(delete(table).where(*its))


async def find(session: AsyncSession, album_id: str, kind: str, key: str) -> StoredResult | None:
    """Find the result of one kind and one `params_key`."""
    found = (await session.execute(_FIND, {"album_id": album_id, "kind": kind, "key": key})).one_or_none()
    return None if found is None else _result(found)


async def load_latest(session: AsyncSession, album_id: str) -> dict[str, StoredResult]:
    """Load the newest result of each kind."""
    return {row.kind: _result(row) for row in await session.execute(_LATEST, {"album_id": album_id})}


def _result(row: Row[Any]) -> StoredResult:
    return StoredResult(row.kind, row.params_key, row.album_version, row.payload, row.created_at, row.id)
