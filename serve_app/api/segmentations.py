"""Route of segmentations: the faces or the people of an image, as shapes and cut out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from serve_app.api.answers import LATER, PREFIX, LinksDep, answer_with_job
from serve_app.api.bodies import ReceivedForm, body_of, picture_and
from serve_app.api.deps import CurrentUser, ServicesDep, WaitPreferenceDep
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas.portraits import SegmentationFields, SegmentationRequest
from serve_app.services.edits.results import SegmentationResult
from serve_app.services.edits.segmentation import CutoutEdit

router = APIRouter(prefix=PREFIX, tags=["avatars"], route_class=IdempotentRoute)


@router.post(
    "/segmentations",
    response_model=SegmentationResult,
    responses=LATER | responses(400, 403, 409, 413, 415, 422, 429, 502, 503, 504),
    openapi_extra=body_of(SegmentationFields, SegmentationRequest, {"target": "face"}),
)
async def segment(
    request: Request,
    user: CurrentUser,
    services: ServicesDep,
    wait_preference: WaitPreferenceDep,
    links: LinksDep,
    sent: Annotated[ReceivedForm[SegmentationFields], Depends(picture_and(SegmentationFields, SegmentationRequest))],
) -> Response:
    """Find faces with their landmarks, and make a mask and a cut-out of the faces' skin or of the people.

    An image without a face is a problem where faces are asked for; where people are, the mask is empty then.
    """
    edit = CutoutEdit(**{"image_url": ""} | sent.fields.model_dump())
    if sent.file is None:
        job_id = await services.segmentations.request_segmentation(user, edit)
    else:
        job_id = await services.segmentations.request_of_upload(user, edit, sent.file.filename, sent.file)
    return await answer_with_job(services, user, job_id, wait_preference, links, cancel_on_disconnect=request)
