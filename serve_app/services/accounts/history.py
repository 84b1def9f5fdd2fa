"""The history of a user: requests to make images, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import NotFound
from serve_app.services.images.service import ImageView, view_of
from serve_app.services.jobs.results import JobResult
from serve_app.store.repositories import history, images
from serve_app.store.repositories.history import HistoryEntry
from serve_app.store.session import Database


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The outcome of a job that made images: its result, and what the history records."""

    answer: JobResult | dict[str, Any]
    history_id: str
    image_ids: Sequence[str]
    """Images stored as temporary: they stay once the job has ended well."""
    engine: str
    """The engine that really made them."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Parameters that became known on the way, added to those of the row."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """An entry of the history with the images that it names."""

    generation: HistoryEntry
    outputs: list[ImageView]
    """Those that are still stored."""
    input: ImageView | None
    """The image that came with the request, while it is stored; None also where the entry has an `input_ref`."""


async def record_success(session: AsyncSession, made: GenerationResult) -> None:
    """Keep the images of a job and end its row, in the transaction that completes the job."""
    await images.keep(session, made.image_ids)
    await history.describe(session, made.history_id, parameters=made.parameters)
    await history.succeed(session, made.history_id, made.image_ids, made.engine)


class HistoryService:
    """Reading of the history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user_id: str, history_id: str) -> HistoryView:
        """Load an entry. Raises `NotFound` for one that is not the user's."""
        async with self._database.transaction() as session:
            found = await history.get(session, user_id, history_id)
            if found is None:
                raise NotFound(f"There is no history entry '{history_id}'.")
            [entry] = await _with_images(session, user_id, [found])
        return entry

    async def load_page(
        self, user_id: str, kind: str | None, limit: int, cursor: str | None
    ) -> tuple[list[HistoryView], str | None]:
        """Load entries, newest first, and the cursor of the next page.

        Raises `InvalidRequest` for a cursor that is none.
        """
        async with self._database.transaction() as session:
            page = await history.load_page(session, user_id, limit=limit + 1, kind=kind, cursor=cursor)
            entries = await _with_images(session, user_id, page[:limit])
        return entries, page[limit - 1].id if len(page) > limit else None


async def _with_images(session: AsyncSession, user_id: str, page: Sequence[HistoryEntry]) -> list[HistoryView]:
    sent = {one.id: one.input_image_id for one in page if one.input_ref is None and one.input_image_id is not None}
    wanted = [image_id for one in page for image_id in one.output_image_ids]
    stored = await images.load(session, user_id, [*wanted, *sent.values()])
    views = {image_id: view_of(image) for image_id, image in stored.items()}
    return [
        HistoryView(
            one,
            [views[image_id] for image_id in one.output_image_ids if image_id in views],
            views.get(sent.get(one.id, "")),
        )
        for one in page
    ]
