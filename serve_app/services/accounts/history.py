"""What was made for a user, and what was to be made and was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import NotFound
from serve_app.services.images.service import ImageView, view_of
from serve_app.store.repositories import history, images
from serve_app.store.repositories.history import HistoryEntry
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What a job that made pictures hands to its end: the answer, and what the history is to say."""

    answer: dict[str, Any]
    history_id: str
    image_ids: Sequence[str]
    """Stored as temporary: they stay once the job has ended well."""
    engine: str
    """The one that really made them."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What became known on the way, added to those that the row has."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    generation: HistoryEntry
    outputs: list[ImageView]
    """Those that are still there."""


async def record_success(session: AsyncSession, made: GenerationResult) -> None:
    """In the transaction that completes the job; from now on its pictures stay."""
    await images.keep(session, made.image_ids)
    await history.describe(session, made.history_id, parameters=made.parameters)
    await history.succeed(session, made.history_id, made.image_ids, made.engine)


class HistoryService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user_id: str, history_id: str) -> HistoryView:
        """Raises `NotFound` for an entry that is not the user's."""
        async with self._database.transaction() as session:
            found = await history.get(session, user_id, history_id)
            if found is None:
                raise NotFound(f"There is no history entry '{history_id}'.")
            [entry] = await _with_outputs(session, user_id, [found])
        return entry

    async def load_page(
        self, user_id: str, kind: str | None, limit: int, cursor: str | None
    ) -> tuple[list[HistoryView], str | None]:
        """Newest first, and the cursor of the next page. Raises `InvalidRequest` for a cursor that is none."""
        async with self._database.transaction() as session:
            page = await history.load_page(session, user_id, limit=limit + 1, kind=kind, cursor=cursor)
            entries = await _with_outputs(session, user_id, page[:limit])
        return entries, page[limit - 1].id if len(page) > limit else None


async def _with_outputs(session: AsyncSession, user_id: str, page: Sequence[HistoryEntry]) -> list[HistoryView]:
    wanted = [image_id for one in page for image_id in one.output_image_ids]
    stored = await images.load(session, user_id, wanted)
    return [
        HistoryView(one, [view_of(stored[image_id]) for image_id in one.output_image_ids if image_id in stored])
        for one in page
    ]
