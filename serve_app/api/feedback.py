"""Routes of feedback: whether a tag, or what a request made, is right."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from serve_app.api.answers import PREFIX
from serve_app.api.deps import CurrentUser, IdempotencyKey, ServicesDep
from serve_app.api.history import Cursor
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.api.schemas.feedback import FeedbackList, FeedbackRequest, FeedbackView, TagSubject

router = APIRouter(prefix=f"{PREFIX}/feedback", tags=["history"], route_class=IdempotentRoute)


@router.post("", response_model=FeedbackView, responses=responses(404, 409, 422, 503))
async def give_feedback(
    body: FeedbackRequest, user: CurrentUser, services: ServicesDep, idempotency_key: IdempotencyKey = None
) -> FeedbackView:
    """Say whether a tag fits its image, or whether what a request made is right. It changes nothing that is shown:
    `PATCH /images/{id}` does; evaluations read it."""
    is_right = body.verdict == "right"
    if isinstance(body.subject, TagSubject):
        subject = body.subject
        said = await services.feedback.say_of_tag(user, subject.image_id, subject.tag, is_right, body.note)
    else:
        said = await services.feedback.say_of_history(user, body.subject.history_id, is_right, body.note)
    return FeedbackView.of(said)


@router.get("", response_model=FeedbackList, responses=responses(422))
async def list_feedback(
    user: CurrentUser,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Cursor = None,
) -> FeedbackList:
    """List what you said, the newest subject first."""
    page, following = await services.feedback.load_page(user, limit, cursor)
    return FeedbackList(items=[FeedbackView.of(said) for said in page], next_cursor=following)


@router.delete("/{feedback_id}", status_code=204, responses=responses(503))
async def forget_feedback(feedback_id: str, user: CurrentUser, services: ServicesDep) -> Response:
    """Forget something that you said; what is not there stays away."""
    await services.feedback.forget(user, feedback_id)
    return Response(status_code=204)
