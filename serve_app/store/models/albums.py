"""Tables of albums, their image references, analysis results and persons."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class AlbumRow(Created, Base):
    """An album."""

    __tablename__ = "albums"
    __table_args__ = (
        UniqueConstraint("user_id", "name"),
        Index(None, "user_id", "id"),
        Index(None, "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    name: Mapped[str | None]
    """The client's own `album_id`; null: the client gave none, and our id stands for it."""
    title: Mapped[str | None]
    """What people read in place of its name."""
    version: Mapped[int] = mapped_column(server_default=text("0"))
    """Grows whenever images come, go or are embedded; results remember the version that they are of."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    """Expiry of the hidden album of an ad-hoc call; null for all others."""
    pending_count: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of its images that are pending; triggers of `album_images` keep it up, as the two below."""
    embedded_count: Mapped[int] = mapped_column(server_default=text("0"))
    failed_count: Mapped[int] = mapped_column(server_default=text("0"))
    people_grouped_at: Mapped[datetime | None]
    """Time when its faces were grouped last: links that were taken back since are still in that grouping."""


class AlbumImageRow(Created, Base):
    """One image reference in an album; the order of ids is the order in which references first came."""

    __tablename__ = "album_images"
    __table_args__ = (
        UniqueConstraint("album_id", "ref_sha256"),
        CheckConstraint("status IN ('pending', 'embedded', 'failed')", name="status"),
        Index(None, "image_id"),
        Index(None, "album_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id)
    ref: Mapped[str]
    """Reference as the client sent it."""
    ref_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of `ref`, which may be too long for an index."""
    image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), type_=Id)
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    code: Mapped[str | None]
    """Reason of a failure: one of the HTTP contract's codes."""
    detail: Mapped[str | None]


class AnalysisResultRow(Created, Base):
    """Latest result of one kind for one set of parameters as earlier versions stored it: read, not written any more."""

    __tablename__ = "analysis_results"

    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    params_key: Mapped[str] = mapped_column(primary_key=True)
    album_version: Mapped[int]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    """JSON, not JSONB: the order of its keys is part of the answer."""


class AlbumIndexRow(Created, Base):
    """A file that holds an album's index for the search for duplicates, or held one."""

    __tablename__ = "album_indexes"
    __table_args__ = (UniqueConstraint("album_id"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    """Key in the storage."""
    album_id: Mapped[str | None] = mapped_column(ForeignKey("albums.id", ondelete="SET NULL"), type_=Id)
    """The album whose index it is; null: the file is being written, or to be deleted."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class ResultRow(Created, Base):
    """Latest result of one kind for one set of parameters; what was found lies in its parts."""

    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("album_id", "kind", "params_key"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id)
    kind: Mapped[str]
    params_key: Mapped[str]
    album_version: Mapped[int]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What is read without the parts: the number of entries of each section."""


class ResultPartRow(Base):
    """Some entries of a section of a result, in the order of their keys."""

    __tablename__ = "result_parts"

    result_id: Mapped[int] = mapped_column(
        ForeignKey("results.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    section: Mapped[str] = mapped_column(primary_key=True)
    last_key: Mapped[str] = mapped_column(Id, primary_key=True)
    """Key of the last entry: the part that holds the entry after a key is the first whose last key is greater."""
    size: Mapped[int]
    """Number of entries."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of `entries`, by which an equal part is known without reading it."""
    entries: Mapped[list[Any]] = mapped_column(JSON)
    """List of `[key, entry]`. JSON, not JSONB: the order of an entry's keys is part of the answer."""


class PersonRow(Base):
    """A person of an album."""

    __tablename__ = "persons"
    __table_args__ = (UniqueConstraint("album_id", "label"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id)
    label: Mapped[int]
    """The clusterer's number for this person, kept from one call to the next."""


class PersonFaceRow(Base):
    """Assignment of a face to a person of an album; null: unassigned."""

    __tablename__ = "person_faces"
    __table_args__ = (Index(None, "face_id"), Index(None, "person_id"))

    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    face_id: Mapped[int] = mapped_column(ForeignKey("faces.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True)
    person_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"), type_=Id)
