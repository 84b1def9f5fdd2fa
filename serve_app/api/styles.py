"""Routes of styles: list them, and make an image in one of them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serve_app.api.answers import LATER, PREFIX, LinksDep, answer_with_job
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep, WaitPreferenceDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas.styles import StyleRequest
from serve_app.services.edits.results import StyleList, StyleResult
from serve_app.services.edits.styles import StyleEdit

router = APIRouter(prefix=PREFIX, tags=["styles"], route_class=IdempotentRoute)

_ERRORS = responses(400, 404, 409, 413, 415, 422, 429, 502, 503, 504)


@router.get("/styles", response_model=StyleList)
async def list_styles(services: ServicesDep) -> StyleList:
    """List the styles, and the engines that are tried for each, in this order."""
    return StyleList(styles=services.styles.list_styles())


@router.post("/style", response_model=StyleResult, dependencies=[JsonBody], responses=LATER | _ERRORS)
async def make_style(
    body: StyleRequest,
    request: Request,
    user: CurrentUser,
    services: ServicesDep,
    wait_preference: WaitPreferenceDep,
    links: LinksDep,
) -> Response:
    """Make an image in the style. Engines are tried in order; the answer names the one that made it.

    The work stops when the client hangs up; once it was answered 202 it goes on.
    """
    edit = StyleEdit(**body.model_dump())
    job_id = await services.styles.request_style(user, edit)
    return await answer_with_job(services, user, job_id, wait_preference, links, cancel_on_disconnect=request)
