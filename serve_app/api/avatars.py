"""Routes of avatars: list the animals, and make the people of an image one of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from serve_app.api.answers import LATER, PREFIX, Links, LinksDep, answer_with_job
from serve_app.api.bodies import ReceivedForm, body_of, picture_and
from serve_app.api.deps import CurrentUser, ServicesDep, SettingsDep, WaitPreference, WaitPreferenceDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas.portraits import AvatarFields, AvatarRequest, TutorialAvatar
from serve_app.services.container import Services
from serve_app.services.edits.avatars import AvatarEdit
from serve_app.services.edits.results import AnimalList, AvatarResult

router = APIRouter(prefix=PREFIX, tags=["avatars"], route_class=IdempotentRoute)
tutorial = APIRouter(tags=["tutorial"], route_class=IdempotentRoute)

_ERRORS = responses(400, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504)
_EXAMPLE = {"animal": "fox", "mode": "character"}


@router.get("/animals", response_model=AnimalList)
async def list_animals(services: ServicesDep) -> AnimalList:
    """List the animals, and the engines that are tried for each, in this order."""
    return AnimalList(animals=services.avatars.list_animals())


@router.post(
    "/avatars",
    response_model=AvatarResult,
    responses=LATER | _ERRORS,
    openapi_extra=body_of(AvatarFields, AvatarRequest, _EXAMPLE),
)
async def make_avatar(
    request: Request,
    user: CurrentUser,
    services: ServicesDep,
    wait_preference: WaitPreferenceDep,
    links: LinksDep,
    sent: Annotated[ReceivedForm[AvatarFields], Depends(picture_and(AvatarFields, AvatarRequest))],
) -> Response:
    """Make everybody in the image the animal. Engines are tried in order; the answer names the one that made the new
    image, and the faces that were changed.

    The work stops when the client hangs up; once it was answered 202 it goes on.
    """
    return await _answer(request, user, services, wait_preference, links, sent, sent.fields.model_dump())


@tutorial.post("/generate-animal-avatar", response_model=AvatarResult, include_in_schema=False)
@tutorial.post(
    "/generate-animal-avatar/",
    response_model=AvatarResult,
    responses=LATER | _ERRORS,
    openapi_extra=body_of(TutorialAvatar, None, _EXAMPLE),
)
async def generate_animal_avatar(
    request: Request,
    user: CurrentUser,
    services: ServicesDep,
    settings: SettingsDep,
    wait_preference: WaitPreferenceDep,
    links: LinksDep,
    sent: Annotated[ReceivedForm[TutorialAvatar], Depends(picture_and(TutorialAvatar, None))],
) -> Response:
    """Make an avatar: `POST /api/v1/avatars` in the tutorial's spelling."""
    fields = sent.fields.model_dump() | {"animal": sent.fields.animal or settings.avatars.animal}
    return await _answer(request, user, services, wait_preference, links, sent, fields)


async def _answer(
    request: Request,
    user: str,
    services: Services,
    wait_preference: WaitPreference,
    links: Links,
    sent: ReceivedForm[Any],
    fields: dict[str, Any],
) -> Response:
    edit = AvatarEdit(**{"image_url": ""} | fields)
    if sent.file is None:
        job_id = await services.avatars.request_avatar(user, edit)
    else:
        job_id = await services.avatars.request_of_upload(user, edit, sent.file.filename, sent.file)
    return await answer_with_job(services, user, job_id, wait_preference, links, cancel_on_disconnect=request)
