"""Table of the history: requests to make images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class GenerationRow(Created, Base):
    """One request to make images; the rules are in `serve_app.store.repositories.history`."""

    __tablename__ = "generations"
    __table_args__ = (
        CheckConstraint("kind IN ('style', 'avatar', 'txt2img', 'img2img')", name="kind"),
        CheckConstraint("status IN ('started', 'succeeded', 'failed', 'cancelled')", name="status"),
        CheckConstraint("(status = 'started') = (finished_at IS NULL)", name="finished"),
        Index(None, "user_id", "id"),
        Index(None, "user_id", "kind", "id"),
        Index(None, "input_image_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'started'"))
    input_ref: Mapped[str | None]
    """Image reference as the client sent it."""
    input_image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id", ondelete="SET NULL"), type_=Id)
    output_image_ids: Mapped[list[str]] = mapped_column(ARRAY(Id), server_default=text("'{}'"))
    """Ids in the order in which the images were made. An array is no foreign key: an image that was removed since is
    left out when the row is shown."""
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    engine: Mapped[str | None]
    """Name of the engine that made the images."""
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    job_id: Mapped[str | None] = mapped_column(Id, unique=True)
    """Id of the job. Not a foreign key: ended jobs are forgotten after some days, the history stays."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    """Start of the latest attempt."""
    finished_at: Mapped[datetime | None]
