"""Table of what users say of tags and of images that were made for them."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class FeedbackRow(Created, Base):
    """Whether a tag of an image, or what a request made, is right: what was said last."""

    __tablename__ = "feedback"
    __table_args__ = (
        CheckConstraint(
            "(image_id IS NULL) = (tag IS NULL) AND (image_id IS NULL) <> (history_id IS NULL)", name="subject"
        ),
        UniqueConstraint("image_id", "tag"),
        Index(None, "user_id", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), type_=Id)
    tag: Mapped[str | None]
    history_id: Mapped[str | None] = mapped_column(
        ForeignKey("generations.id", ondelete="CASCADE"), type_=Id, unique=True
    )
    is_right: Mapped[bool]
    note: Mapped[str | None]
    score: Mapped[float | None] = mapped_column(REAL)
    """The model's probability of the tag when it was said; null: it did not give the tag."""
