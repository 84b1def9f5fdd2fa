"""Bodies and answers about webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from serve_app.api.schemas.common import Body
from serve_app.services.webhooks.signatures import check_secret
from serve_app.store.repositories.events import EventKind

_LONGEST_URL = 2000
_KINDS: tuple[EventKind, ...] = ("job", "album", "image", "duplicate", "person")


class WebhookRequest(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"url": "https://example.org/darkroom", "events": ["job", "album"]}}
    )

    url: Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_URL)] = Field(
        description="where events are posted to: http or https, a public address"
    )
    events: list[EventKind] = Field(default=list(_KINDS), min_length=1, max_length=len(_KINDS))
    secret: Annotated[str, StringConstraints(max_length=100), AfterValidator(check_secret)] | None = Field(
        None,
        description="key of the signatures: `whsec_` and 24 to 64 bytes in base 64; one is made where none is sent",
    )


class WebhookView(BaseModel):
    id: str = Field(examples=["whk_01m80cw92wytpj416mh8yyxn5m"])
    url: str
    events: list[EventKind]
    enabled: bool = Field(description="false: it failed for a day, or answered 410, and is tried no more")
    failures: int = Field(description="attempts in a row that failed; the next one comes by itself")
    last_failure: str | None
    delivered_at: datetime | None
    created_at: datetime


class NewWebhook(WebhookView):
    secret: str = Field(description="shown this once", examples=["whsec_3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="])


class WebhookList(BaseModel):
    items: list[WebhookView] = Field(description="the oldest first")
