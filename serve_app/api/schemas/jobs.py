"""Jobs over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class JobLink(BaseModel):
    id: str
    kind: str
    href: str


class JobState(BaseModel):
    """How far a job is."""

    id: str
    kind: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: float = Field(ge=0, le=1)
    eta_s: float | None = Field(description="seconds left, once that is more than a guess")
    problem: dict[str, Any] | None = Field(description="why it failed: a problem document")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Job(JobState):
    """A job with what it found: the answer that the call would have given."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "job_01m80cw92wytpj416mh8yyxn5m",
                "kind": "tags",
                "status": "running",
                "progress": 0.4,
                "eta_s": 3.2,
                "problem": None,
                "result": None,
                "created_at": "2026-03-01T12:00:00Z",
                "started_at": "2026-03-01T12:00:01Z",
                "finished_at": None,
            }
        }
    )

    result: dict[str, Any] | None
