"""History of requests to make images, failed ones included: one row each.

    started ──▶ succeeded | failed | cancelled

A row that names a job belongs to it: an attempt of the same job finds its row again, and a job that fails or is
cancelled, whatever the reason, ends its row in the same transaction (`end_with_jobs`, called where jobs
change). `succeed` belongs into the transaction that completes the job. A row that has ended stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import InvalidRequest
from serve_app.store.arrays import any_text
from serve_app.store.ids import new_id
from serve_app.store.models import GenerationRow, JobRow

GenerationKind = Literal["style", "avatar", "txt2img", "img2img"]
GenerationStatus = Literal["started", "succeeded", "failed", "cancelled"]
_ID = re.compile(r"gen_[0-9a-hjkmnp-tv-z]{26}")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A row of the history: one request to make images."""

    id: str
    user_id: str
    kind: GenerationKind
    status: GenerationStatus
    input_ref: str | None
    """Image reference as the client sent it."""
    input_image_id: str | None
    output_image_ids: list[str]
    """Ids in the order in which the images were made; some may have been removed since."""
    parameters: dict[str, Any]
    engine: str | None
    """Name of the engine that made the images."""
    problem: dict[str, Any] | None
    """RFC 9457 members of what went wrong."""
    job_id: str | None
    created_at: datetime
    started_at: datetime
    """Start of the latest attempt."""
    finished_at: datetime | None

    @property
    def duration_s(self) -> float | None:
        """Seconds that the latest attempt took; None until it has ended."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()


_COLUMNS = (
    GenerationRow.id,
    GenerationRow.user_id,
    GenerationRow.kind,
    GenerationRow.status,
    GenerationRow.input_ref,
    GenerationRow.input_image_id,
    GenerationRow.output_image_ids,
    GenerationRow.parameters,
    GenerationRow.engine,
    GenerationRow.problem,
    GenerationRow.job_id,
    GenerationRow.created_at,
    GenerationRow.started_at,
    GenerationRow.finished_at,
)
"""Columns in the order of `HistoryEntry`'s fields."""
_IS_OPEN = GenerationRow.status == "started"


async def start(
    session: AsyncSession,
    user_id: str,
    kind: GenerationKind,
    parameters: Mapping[str, Any],
    *,
    input_ref: str | None = None,
    input_image_id: str | None = None,
    job_id: str | None = None,
) -> HistoryEntry:
    """Add a row, or restart the row of a job that was tried before, unless it has ended."""
    statement = insert(GenerationRow).values(
        id=new_id("gen"),
        user_id=user_id,
        kind=kind,
        parameters=dict(parameters),
        input_ref=input_ref,
        input_image_id=input_image_id,
        job_id=job_id,
    )
    again = statement.on_conflict_do_update(
        index_elements=[GenerationRow.job_id],
        set_={
            "started_at": func.clock_timestamp(),
            "parameters": statement.excluded.parameters,
            "input_image_id": func.coalesce(statement.excluded.input_image_id, GenerationRow.input_image_id),
        },
        where=_IS_OPEN,
    )
    made = (await session.execute(again.returning(*_COLUMNS))).one_or_none()
    if made is None:
        ended = select(*_COLUMNS).where(GenerationRow.job_id == job_id)
        made = (await session.execute(ended)).one()
    return HistoryEntry(*made)


async def start_again(session: AsyncSession, old_job_id: str, new_job_id: str) -> None:
    """Add a row for a job that does the work of an earlier one anew; none where that had no row."""
    old = (await session.execute(select(*_COLUMNS).where(GenerationRow.job_id == old_job_id))).one_or_none()
    if old is not None:
        row = HistoryEntry(*old)
        asked = {"input_ref": row.input_ref, "input_image_id": row.input_image_id}
        await start(session, row.user_id, row.kind, row.parameters, **asked, job_id=new_job_id)


async def describe(
    session: AsyncSession,
    generation_id: str,
    *,
    input_image_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Add what was learned while the request runs; parameters are merged into those that are known."""
    values: dict[str, Any] = {}
    if input_image_id is not None:
        values["input_image_id"] = input_image_id
    if parameters:
        values["parameters"] = GenerationRow.parameters.concat(dict(parameters))
    if values:
        await session.execute(update(GenerationRow).where(GenerationRow.id == generation_id, _IS_OPEN).values(values))


async def succeed(session: AsyncSession, generation_id: str, output_image_ids: Sequence[str], engine: str) -> bool:
    """End the row with the images that were made. False: it had ended before."""
    return await _end(session, generation_id, "succeeded", output_image_ids=list(output_image_ids), engine=engine)


async def fail(session: AsyncSession, generation_id: str, problem: Mapping[str, Any]) -> bool:
    """End the row with a problem (RFC 9457 members). False: it had ended before."""
    return await _end(session, generation_id, "failed", problem=dict(problem))


async def cancel(session: AsyncSession, generation_id: str) -> bool:
    """End the row as cancelled. False: it had ended before."""
    return await _end(session, generation_id, "cancelled")


async def end_with_jobs(session: AsyncSession, job_ids: Sequence[str]) -> None:
    """End the rows of jobs that failed or were cancelled, with their status and problem."""
    if not job_ids:
        return
    statement = (
        update(GenerationRow)
        .where(GenerationRow.job_id == any_text(job_ids), _IS_OPEN, JobRow.id == GenerationRow.job_id)
        .values(status=JobRow.status, problem=JobRow.problem, finished_at=func.clock_timestamp())
    )
    await session.execute(statement.execution_options(synchronize_session=False))


async def get(session: AsyncSession, user_id: str, generation_id: str) -> HistoryEntry | None:
    """Get one of the user's own entries."""
    statement = select(*_COLUMNS).where(GenerationRow.id == generation_id, GenerationRow.user_id == user_id)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else HistoryEntry(*found)


async def load_page(
    session: AsyncSession, user_id: str, *, limit: int, kind: str | None = None, cursor: str | None = None
) -> list[HistoryEntry]:
    """Load the user's entries, newest first, those after the id `cursor`.

    Raises `InvalidRequest` for a cursor that is none.
    """
    statement = select(*_COLUMNS).where(GenerationRow.user_id == user_id)
    if kind is not None:
        statement = statement.where(GenerationRow.kind == kind)
    if cursor is not None:
        if _ID.fullmatch(cursor) is None:
            raise InvalidRequest("The cursor is none that this server gave", extra={"parameter": "cursor"})
        statement = statement.where(GenerationRow.id < cursor)
    statement = statement.order_by(GenerationRow.id.desc()).limit(limit)
    return [HistoryEntry(*row) for row in await session.execute(statement)]


async def _end(session: AsyncSession, generation_id: str, status: GenerationStatus, **values: Any) -> bool:
    statement = (
        update(GenerationRow)
        .where(GenerationRow.id == generation_id, _IS_OPEN)
        .values(status=status, finished_at=func.clock_timestamp(), **values)
        .returning(GenerationRow.id)
        .execution_options(synchronize_session=False)
    )
    return (await session.scalar(statement)) is not None
