"""Tables of what changed for users, which triggers of the tables that it is about write; read in
`serve_app.store.repositories.events`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class EventRow(Created, Base):
    """Note that something of a user's changed; what it is now is read where it lies."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "user_id", "transaction", "id"), Index(None, "created_at"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction: Mapped[int] = mapped_column(BigInteger, server_default=text("(pg_current_xact_id()::text)::bigint"))
    """Number of the transaction that wrote it. Events are ordered by it and by `id`: of ids alone a smaller one may
    become visible after a larger one."""
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    kind: Mapped[str]
    subject_id: Mapped[str]
    """Id of what changed, as clients know it."""
    album_id: Mapped[str | None] = mapped_column(Id)
    """Our id of the album that it is about. Not a foreign key: the end of an album is an event, too."""
    is_gone: Mapped[bool] = mapped_column(server_default=text("false"))


class EventFloorRow(Base):
    """Position of the last event of a user and kind that was removed: streams from before it have missed something."""

    __tablename__ = "event_floors"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    transaction: Mapped[int] = mapped_column(BigInteger)
    event_id: Mapped[int] = mapped_column(BigInteger)


class WebhookRow(Created, Base):
    """Address that a user's events are sent to, and how far they were."""

    __tablename__ = "webhooks"
    __table_args__ = (
        Index(None, "user_id"),
        Index("webhooks_due_idx", "next_try_at", postgresql_where=text("disabled_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    url: Mapped[str]
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret: Mapped[str]
    """Key of the signatures, in the clear: the server signs with it."""
    transaction: Mapped[int] = mapped_column(BigInteger)
    event_id: Mapped[int] = mapped_column(BigInteger)
    """With `transaction` the position after which it goes on."""
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of attempts in a row that failed."""
    failing_since: Mapped[datetime | None]
    last_failure: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    """When it was given up; it is tried no more."""
