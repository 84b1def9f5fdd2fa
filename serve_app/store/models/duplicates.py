"""Table of decisions about groups of duplicates."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class DuplicateGroupRow(Created, Base):
    """A group of duplicates of an album of which its user has decided; open ones lie in the results of the search."""

    __tablename__ = "duplicate_groups"
    __table_args__ = (
        CheckConstraint("status IN ('resolved', 'dismissed')", name="status"),
        Index(None, "album_id", "status", "seq"),
        Index(None, "action_id"),
        Index(None, "user_id"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity())
    """The order of decisions."""
    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    """Hash of its members' contents."""
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    status: Mapped[str]
    action_id: Mapped[str] = mapped_column(Id)
    """The action of `corrections` that decided; when it is taken back, the row goes."""
    found: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The group as it was then."""
