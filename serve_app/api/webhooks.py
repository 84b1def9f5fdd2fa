"""Routes of webhooks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from serve_app.api.answers import PREFIX
from serve_app.api.deps import CurrentUser, JsonBody, ServicesDep
from serve_app.api.problems import responses
from serve_app.api.schemas.webhooks import NewWebhook, WebhookList, WebhookRequest, WebhookView
from serve_app.store.repositories.webhooks import StoredWebhook

# Not `IdempotentRoute`: a kept answer would hold a secret in the clear.
router = APIRouter(prefix=f"{PREFIX}/webhooks", tags=["events"])

WebhookId = Annotated[str, Path(examples=["whk_01m80cw92wytpj416mh8yyxn5m"])]


def _view(hook: StoredWebhook) -> WebhookView:
    return WebhookView(
        id=hook.id,
        url=hook.url,
        events=hook.kinds,
        enabled=hook.disabled_at is None,
        failures=hook.failures,
        last_failure=hook.last_failure,
        delivered_at=hook.delivered_at,
        created_at=hook.created_at,
    )


@router.post(
    "", status_code=201, response_model=NewWebhook, responses=responses(409, 415, 422), dependencies=[JsonBody]
)
async def create_webhook(
    body: WebhookRequest, user: CurrentUser, services: ServicesDep, response: Response
) -> NewWebhook:
    """Have events posted to an address of yours from now on, signed by the Standard Webhooks specification."""
    hook = await services.webhooks.add(user, body.url, body.events, body.secret)
    response.headers["Cache-Control"] = "no-store"
    return NewWebhook(**_view(hook).model_dump(), secret=hook.secret)


@router.get("", response_model=WebhookList)
async def list_webhooks(user: CurrentUser, services: ServicesDep) -> WebhookList:
    """List your webhooks, and how they fare."""
    return WebhookList(items=[_view(hook) for hook in await services.webhooks.load_all(user)])


@router.get("/{webhook_id}", response_model=WebhookView, responses=responses(404))
async def get_webhook(webhook_id: WebhookId, user: CurrentUser, services: ServicesDep) -> WebhookView:
    """Describe a webhook, and how it fares."""
    return _view(await services.webhooks.get(user, webhook_id))


@router.post("/{webhook_id}/enable", response_model=WebhookView, responses=responses(404))
async def enable_webhook(webhook_id: WebhookId, user: CurrentUser, services: ServicesDep) -> WebhookView:
    """Try a webhook again at once, also one that was given up. It goes on where it was."""
    return _view(await services.webhooks.enable(user, webhook_id))


@router.delete("/{webhook_id}", status_code=204, responses=responses(404))
async def delete_webhook(webhook_id: WebhookId, user: CurrentUser, services: ServicesDep) -> Response:
    """Delete a webhook: nothing more is sent to it."""
    await services.webhooks.delete(user, webhook_id)
    return Response(status_code=204)
