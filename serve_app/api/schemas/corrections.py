"""What is answered about corrections."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from serve_app.store.repositories.corrections import CorrectionKind


class SubjectView(BaseModel):
    """What was decided about: an image's bytes, or a face in them."""

    model_config = ConfigDict(from_attributes=True)

    sha256: str
    box: tuple[float, float, float, float] | None = Field(
        description="of a face: x1, y1, x2, y2 as shares of the upright image's width and height; null: the image",
        examples=[[0.31, 0.12, 0.45, 0.33]],
    )


class CorrectionView(BaseModel):
    """Something that you decided."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["cor_01m80cw92wytpj416mh8yyxn5m"])
    action_id: str = Field(
        description="what was decided at once has one; it is taken back at once",
        examples=["cor_01m80cw92wytpj416mh8yyxn5m"],
    )
    kind: CorrectionKind = Field(
        description="must: two faces are one person; cannot: they are not; a face with itself: it is somebody, nobody",
        examples=["must"],
    )
    a: SubjectView
    b: SubjectView | None
    value: dict[str, Any] = Field(description="what was said of it", examples=[{"name": "Eva"}])
    via: str = Field(description="the operation that it was said by", examples=["merge_people"])
    made_at: datetime = Field(examples=["2026-03-01T12:00:00Z"])
    undone_at: datetime | None


class CorrectionList(BaseModel):
    items: list[CorrectionView] = Field(description="the newest first, those taken back too")
    next_cursor: str | None


class Undone(BaseModel):
    """What was taken back."""

    correction_id: str = Field(description="of the action", examples=["cor_01m80cw92wytpj416mh8yyxn5m"])
    items: list[CorrectionView]
