"""Tables of a user's people: who is in the images of all albums, and what users made of it."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class LibraryPersonRow(Created, Base):
    """A person of a user's, in whatever albums."""

    __tablename__ = "people"
    __table_args__ = (
        UniqueConstraint("user_id", "label"),
        Index("people_size_idx", "user_id", text("size DESC"), "id"),
        Index(None, "merged_into"),
        Index(None, "cover_face_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    label: Mapped[int]
    """The clusterer's number for this person, kept from one call to the next."""
    name: Mapped[str | None]
    hidden: Mapped[bool] = mapped_column(server_default=text("false"))
    birth_date: Mapped[date | None]
    cover_face_id: Mapped[int | None] = mapped_column(ForeignKey("faces.id", ondelete="SET NULL"), type_=BigInteger)
    """The face that the user chose; null: the best one is shown."""
    size: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of faces when they last changed, by which people are listed."""
    revision: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Grows with each change of the person or of whose faces are its own."""
    merged_into: Mapped[str | None] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), type_=Id)
    """The person that it was found to be; it has no faces then."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LibraryFaceRow(Base):
    """Assignment of a face to a person of a user's; null: it is nobody's."""

    __tablename__ = "people_faces"
    __table_args__ = (Index(None, "face_id"), Index(None, "person_id"))

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    face_id: Mapped[int] = mapped_column(ForeignKey("faces.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True)
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), type_=Id)


class FaceMoveRow(Base):
    """A face that a correction took from one person to another, so that it can be taken back."""

    __tablename__ = "people_moves"
    __table_args__ = (Index(None, "face_id"), Index(None, "user_id"), Index(None, "from_id"), Index(None, "to_id"))

    action_id: Mapped[str] = mapped_column(Id, primary_key=True)
    """`CorrectionRow.action_id`."""
    face_id: Mapped[int] = mapped_column(ForeignKey("faces.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    from_id: Mapped[str | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), type_=Id)
    to_id: Mapped[str | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), type_=Id)


class SuggestionRow(Base):
    """A question about two faces that would help most: are they one person?"""

    __tablename__ = "people_suggestions"
    __table_args__ = (Index(None, "user_id", "doubt"), Index(None, "face_id"), Index(None, "other_id"))

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str]
    """same: of two people. is: of a face and the person of the other."""
    face_id: Mapped[int] = mapped_column(ForeignKey("faces.id", ondelete="CASCADE"), type_=BigInteger)
    other_id: Mapped[int] = mapped_column(ForeignKey("faces.id", ondelete="CASCADE"), type_=BigInteger)
    likeness: Mapped[float]
    """0 to 1, .5 where the rule decides."""
    doubt: Mapped[float]
    """Distance from where the rule decides; the smallest is asked first."""
    skipped_at: Mapped[datetime | None]
