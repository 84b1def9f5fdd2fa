"""Routes of corrections: what was decided, and taking it back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from serve_app.api.answers import PREFIX
from serve_app.api.deps import CurrentUser, IdempotencyKey, ServicesDep
from serve_app.api.history import Cursor
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas.corrections import CorrectionList, CorrectionView, Undone
from serve_app.store.repositories.corrections import CorrectionKind

router = APIRouter(prefix=PREFIX, tags=["people"], route_class=IdempotentRoute)


@router.get("/corrections", response_model=CorrectionList, responses=responses(422))
async def list_corrections(
    user: CurrentUser,
    services: ServicesDep,
    kind: Annotated[CorrectionKind | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Cursor = None,
) -> CorrectionList:
    """List what you decided about people, faces and duplicates, the newest first."""
    page, following = await services.corrections.list_corrections(user, limit, cursor, kind)
    return CorrectionList(items=[CorrectionView.model_validate(one) for one in page], next_cursor=following)


@router.delete("/corrections/{correction_id}", status_code=204, responses=responses(404, 409, 503))
async def undo_correction(correction_id: str, user: CurrentUser, services: ServicesDep) -> Response:
    """Take a decision back, with all that was decided by the same action. Taken back twice, it stays so."""
    await services.corrections.undo(user, correction_id)
    return Response(status_code=204)


@router.post("/undo", response_model=Undone, responses=responses(404, 409, 422, 503))
async def undo_last(user: CurrentUser, services: ServicesDep, idempotency_key: IdempotencyKey = None) -> Undone:
    """Take back your last decision that stands; 404 where there is none."""
    undone = await services.corrections.undo_last(user)
    items = [CorrectionView.model_validate(one) for one in undone]
    return Undone(correction_id=undone[0].action_id, items=items)
