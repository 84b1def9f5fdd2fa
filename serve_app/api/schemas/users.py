"""Bodies and answers about users and their history."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from serve_app.api.schemas.common import Body
from serve_app.services.accounts.users import clean_email, clean_username


class HistoryItem(BaseModel):
    id: str
    user: str
    kind: Literal["style", "avatar", "txt2img", "img2img"]
    status: Literal["started", "succeeded", "failed", "cancelled"]
    input: str | None = Field(description="the image reference, as it was sent")
    output_url: str | None = Field(description="the first picture; null when there is none, or it was deleted")
    output_urls: list[str]
    parameters: dict[str, Any]
    engine: str | None = Field(description="the one that made the picture")
    duration: float | None = Field(description="seconds of the last attempt")
    problem: dict[str, Any] | None = Field(description="why it failed: a problem document")
    job: str | None
    created_at: datetime
    finished_at: datetime | None


class History(BaseModel):
    items: list[HistoryItem] = Field(description="the newest first")
    next_cursor: str | None


class UserRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"username": "eva", "email": "eva@example.org"}})

    username: Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(clean_username)] = Field(
        description="1 to 64 characters; case makes no other name"
    )
    email: Annotated[str, StringConstraints(min_length=3, max_length=512), AfterValidator(clean_email)]


class TutorialUser(BaseModel):
    id: str
    username: str
    email: str


class UserView(TutorialUser):
    created_at: datetime


class NewKey(BaseModel):
    api_key: str = Field(description="shown this once", examples=["dk_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])


class NewUser(NewKey, UserView):  # in this order, so that the key comes last
    """A user with the key."""


class UserList(BaseModel):
    items: list[UserView] = Field(description="the newest first")
    next_cursor: str | None
