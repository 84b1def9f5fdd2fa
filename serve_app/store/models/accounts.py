"""Tables of users, their repeated requests and their options."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class UserRow(Created, Base):
    """A user."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    username: Mapped[str]
    username_folded: Mapped[str] = mapped_column(unique=True)
    """Folded name, which makes names unique whatever the case of their letters. Not an index on `lower(username)`: what
    that does beyond ASCII depends on the locale that the database was made with."""
    email: Mapped[str]
    email_folded: Mapped[str] = mapped_column(unique=True)
    api_key_hash: Mapped[str | None] = mapped_column(unique=True)
    """SHA-256 of the user's key; null: no key is valid."""
    people_revision: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Grows whenever the user's people are corrected: what was worked out of an older state is not saved."""
    people_grouped: Mapped[int | None] = mapped_column(BigInteger)
    """`people_revision` that the last grouping of all of the user's faces was of."""
    people_grouped_at: Mapped[datetime | None]
    """Time of that grouping: what was taken back since is still in it."""


class SessionRow(Created, Base):
    """A session of a web page, which its cookie names. It ends with the key that it was opened with."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id", "created_at"), Index(None, "expires_at"))

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of what the cookie holds."""
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    key_hash: Mapped[str]
    """`UserRow.api_key_hash` when it was opened: of another key it is void."""
    expires_at: Mapped[datetime]


class IdempotencyKeyRow(Created, Base):
    """A POST with an idempotency key and its answer; `status` is null while it is being answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    """Method and path of the request."""
    token: Mapped[str]
    """Ticket's token, new whenever the answer is begun anew, so that a slow first try cannot overwrite the second's."""
    request_sha256: Mapped[str]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class WebUiOptionRow(Base):
    """An option of the Stable Diffusion web API that a user has changed."""

    __tablename__ = "sd_options"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB(none_as_null=False))
