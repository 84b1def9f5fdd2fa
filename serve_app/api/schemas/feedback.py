"""What is said of tags and made images, and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serve_app.api.schemas.common import Body
from serve_app.api.schemas.images import Tag
from serve_app.store.repositories.feedback import Feedback

Verdict = Literal["right", "wrong"]
_Id = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
_IMAGE = "img_01m80cw92wytpj416mh8yyxn5m"
_HISTORY = "gen_01m80d0r5c1mz6v3n8k4t7x2qa"


class TagSubject(Body):
    """A tag of an image, whether the model gave it or not."""

    image_id: _Id = Field(examples=[_IMAGE])
    tag: Tag = Field(examples=["dog"])


class MadeSubject(Body):
    """What a request of the history made."""

    history_id: _Id = Field(examples=[_HISTORY])


class FeedbackRequest(Body):
    """A verdict; said again of one subject, the last one holds."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"subject": {"image_id": _IMAGE, "tag": "dog"}, "verdict": "wrong"}}
    )

    subject: TagSubject | MadeSubject
    verdict: Verdict
    note: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")] | None = None


class FeedbackView(BaseModel):
    """What was said."""

    id: str = Field(examples=["fbk_01m80cw92wytpj416mh8yyxn5m"])
    subject: TagSubject | MadeSubject
    verdict: Verdict
    note: str | None
    score: float | None = Field(
        description="of a tag: the model's probability when it was said; null: it did not give it"
    )
    created_at: datetime = Field(description="when something was first said of it", examples=["2026-03-01T12:00:00Z"])

    @classmethod
    def of(cls, said: Feedback) -> FeedbackView:
        subject: TagSubject | MadeSubject
        if said.image_id is not None and said.tag is not None:
            subject = TagSubject(image_id=said.image_id, tag=said.tag)
        else:
            subject = MadeSubject(history_id=said.history_id or "")
        return cls(
            id=said.id,
            subject=subject,
            verdict="right" if said.is_right else "wrong",
            note=said.note,
            score=said.score,
            created_at=said.created_at,
        )


class FeedbackList(BaseModel):
    items: list[FeedbackView]
    next_cursor: str | None
