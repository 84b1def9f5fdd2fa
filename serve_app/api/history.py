"""The history of pictures that were made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from serve_app.api.answers import PREFIX, job_href
from serve_app.api.deps import BaseUrl, CurrentUser, ServicesDep
from serve_app.api.images import image_url
from serve_app.api.problems import responses
from serve_app.api.schemas.users import History, HistoryItem
from serve_app.services.accounts.history import HistoryView
from serve_app.services.container import Services

router = APIRouter(prefix=f"{PREFIX}/history", tags=["history"])

HistoryKind = Annotated[Literal["style", "avatar", "txt2img", "img2img"] | None, Query(description="only this kind")]
HistoryLimit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


def history_item(entry: HistoryView, base: str) -> dict[str, Any]:
    """The entry as `GET /history/{id}` shows it."""
    row = entry.generation
    urls = [image_url(image, base) for image in entry.outputs]
    return {
        "id": row.id,
        "user": row.user_id,
        "kind": row.kind,
        "status": row.status,
        "input": row.input_ref,
        "output_url": urls[0] if urls else None,
        "output_urls": urls,
        "parameters": row.parameters,
        "engine": row.engine,
        "duration": row.duration_s,
        "problem": row.problem,
        "job": job_href(row.job_id) if row.job_id else None,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


async def history_page(
    services: Services, user: str, base: str, kind: str | None, limit: int, cursor: str | None
) -> dict[str, Any]:
    entries, next_cursor = await services.history.load_page(user, kind, limit, cursor)
    return {"items": [history_item(entry, base) for entry in entries], "next_cursor": next_cursor}


@router.get("", response_model=History, responses=responses(422))
async def list_history(
    user: CurrentUser,
    services: ServicesDep,
    base: BaseUrl,
    kind: HistoryKind = None,
    limit: HistoryLimit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Every request to make a picture, the newest first, those that failed included."""
    return await history_page(services, user, base, kind, limit, cursor)


@router.get("/{history_id}", response_model=HistoryItem, responses=responses(404))
async def get_history(history_id: str, user: CurrentUser, services: ServicesDep, base: BaseUrl) -> dict[str, Any]:
    """One request: what was asked for, and what became of it."""
    return history_item(await services.history.get(user, history_id), base)
