"""Routes of the history of images that were made."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from serve_app.api.answers import PREFIX, Links, LinksDep
from serve_app.api.deps import CurrentUser, ServicesDep
from serve_app.api.problems import responses
from serve_app.api.schemas.users import History, HistoryItem
from serve_app.services.accounts.history import HistoryView
from serve_app.services.container import Services

router = APIRouter(prefix=f"{PREFIX}/history", tags=["history"])

HistoryKind = Annotated[Literal["style", "avatar", "txt2img", "img2img"] | None, Query(description="only this kind")]
HistoryLimit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


def history_item(entry: HistoryView, links: Links) -> HistoryItem:
    """Describe the entry as `GET /history/{id}` does."""
    row = entry.generation
    urls = [links.file(image.key) for image in entry.outputs]
    sent_along = links.file(entry.input.key) if entry.input else None
    return HistoryItem(
        id=row.id,
        user=row.user_id,
        kind=row.kind,
        status=row.status,
        input=sent_along if row.input_ref is None else row.input_ref,
        output_url=urls[0] if urls else None,
        output_urls=urls,
        parameters=row.parameters,
        engine=row.engine,
        duration=row.duration_s,
        problem=row.problem,
        job=links.job(row.job_id) if row.job_id else None,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


async def history_page(
    services: Services, user: str, links: Links, kind: str | None, limit: int, cursor: str | None
) -> History:
    """Load a page of the user's history."""
    entries, next_cursor = await services.history.load_page(user, kind, limit, cursor)
    return History(items=[history_item(entry, links) for entry in entries], next_cursor=next_cursor)


@router.get("", response_model=History, responses=responses(422))
async def list_history(
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    kind: HistoryKind = None,
    limit: HistoryLimit = 50,
    cursor: Cursor = None,
) -> History:
    """List every request to make an image, the newest first, those that failed included."""
    return await history_page(services, user, links, kind, limit, cursor)


@router.get("/{history_id}", response_model=HistoryItem, responses=responses(404))
async def get_history(history_id: str, user: CurrentUser, services: ServicesDep, links: LinksDep) -> HistoryItem:
    """Describe one request: what was asked for, and what became of it."""
    return history_item(await services.history.get(user, history_id), links)
