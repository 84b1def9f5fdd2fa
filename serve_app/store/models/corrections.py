"""Table of the decisions of users about what models found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Id

_IS_LINK = text("kind IN ('must', 'cannot') AND undone_at IS NULL")


class CorrectionRow(Base):
    """One thing that a user said, kept for good: rows are added, and marked as taken back, and nothing else.

    Its subjects are bytes and places in them, not rows of faces or images, which come and go.
    """

    __tablename__ = "corrections"
    __table_args__ = (
        CheckConstraint("kind IN ('must', 'cannot', 'name', 'hide', 'not_duplicate', 'tag', 'resolve')", name="kind"),
        Index(None, "user_id", "id"),
        Index(None, "user_id", "kind", "id"),
        Index(None, "action_id"),
        Index(None, "user_id", "a_sha256", postgresql_where=_IS_LINK),
        Index(None, "user_id", "b_sha256", postgresql_where=_IS_LINK),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    action_id: Mapped[str] = mapped_column(Id)
    """Id of the first correction of the same action: what was said at once is taken back at once."""
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    kind: Mapped[str]
    a_sha256: Mapped[str] = mapped_column(Id)
    """File content of the first subject. Not a foreign key: what was said outlives the file, and holds again when it
    comes back."""
    a_box: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))
    """Place of the face, `(x1, y1, x2, y2)` as shares of width and height of the upright image; null: the image."""
    b_sha256: Mapped[str | None] = mapped_column(Id)
    b_box: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))
    value: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """What was said of the subject, where that is more than the kind tells."""
    via: Mapped[str]
    """Operation that it was said by, `merge_people` and the like."""
    made_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    undone_at: Mapped[datetime | None]
