"""Latest analysis results of an album, by kind and parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.models import AnalysisResultRow


@dataclass(frozen=True, slots=True)
class StoredResult:
    """An analysis result."""

    kind: str
    params_key: str
    album_version: int
    """The album's version at the analysis; when it is lower than the album's own, the result is out of date."""
    payload: dict[str, Any]
    created_at: datetime


_COLUMNS = (
    AnalysisResultRow.kind,
    AnalysisResultRow.params_key,
    AnalysisResultRow.album_version,
    AnalysisResultRow.payload,
    AnalysisResultRow.created_at,
)


def params_key(params: Mapping[str, Any]) -> str:
    """Hash the parameters that a result depends on besides the album: equal parameters, equal key."""
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


async def save(
    session: AsyncSession, album_id: str, kind: str, key: str, album_version: int, payload: Mapping[str, Any]
) -> None:
    """Save a result, unless one of a later version of the album is stored."""
    row = {
        "album_id": album_id,
        "kind": kind,
        "params_key": key,
        "album_version": album_version,
        "payload": dict(payload),
    }
    statement = insert(AnalysisResultRow).values(row)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[AnalysisResultRow.album_id, AnalysisResultRow.kind, AnalysisResultRow.params_key],
            set_={
                "album_version": statement.excluded.album_version,
                "payload": statement.excluded.payload,
                "created_at": func.now(),
            },
            where=AnalysisResultRow.album_version <= statement.excluded.album_version,
        )
    )


async def remove(session: AsyncSession, album_id: str, kind: str) -> None:
    """Remove the album's results of one kind, whatever their parameters."""
    its = (AnalysisResultRow.album_id == album_id, AnalysisResultRow.kind == kind)
    await session.execute(delete(AnalysisResultRow).where(*its))


async def find(session: AsyncSession, album_id: str, kind: str, key: str) -> StoredResult | None:
    """Find the result of one kind and one `params_key`."""
    statement = select(*_COLUMNS).where(
        AnalysisResultRow.album_id == album_id, AnalysisResultRow.kind == kind, AnalysisResultRow.params_key == key
    )
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else StoredResult(*found)


async def load_latest(session: AsyncSession, album_id: str) -> dict[str, StoredResult]:
    """Load the newest result of each kind."""
    statement = (
        select(*_COLUMNS)
        .where(AnalysisResultRow.album_id == album_id)
        .ext(distinct_on(AnalysisResultRow.kind))
        .order_by(
            AnalysisResultRow.kind,
            AnalysisResultRow.album_version.desc(),
            AnalysisResultRow.created_at.desc(),
            AnalysisResultRow.params_key,
        )
    )
    return {row.kind: StoredResult(*row) for row in await session.execute(statement)}
