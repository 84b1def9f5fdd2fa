"""Tables of images, file contents and the models' results on them.

All but `images` refers to the file content, so equal bytes are stored and analysed once for all users.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.orm import Mapped, mapped_column

from serve_app.store.models.base import Base, Created, Id


class ContentRow(Created, Base):
    """A file content, stored once and named by its SHA-256."""

    __tablename__ = "contents"
    __table_args__ = (Index(None, "pixel_sha256"),)

    sha256: Mapped[str] = mapped_column(Id, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    content_type: Mapped[str]
    width: Mapped[int]
    """Width of the upright image in pixels, as is `height`."""
    height: Mapped[int]
    pixel_sha256: Mapped[str | None]
    """Hash of all that the file shows (`algorithms.images.identity`), once it was decoded in full; `frames`, `bits` and
    `has_alpha` are known from then on."""
    has_preview: Mapped[bool] = mapped_column(server_default=text("false"))
    frames: Mapped[int | None]
    bits: Mapped[int | None] = mapped_column(SmallInteger)
    has_alpha: Mapped[bool | None]


class DerivedFileRow(Base):
    """A file that was made of a content and is kept, or is being made."""

    __tablename__ = "derived_files"

    sha256: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="CASCADE"), type_=Id, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int | None]
    """Null: it is being made, or whoever made it died."""


class ImageRow(Created, Base):
    """One upload or fetch of an image by a user."""

    __tablename__ = "images"
    __table_args__ = (
        Index(None, "user_id", "id"),
        Index(None, "sha256"),
        Index("images_temporary_idx", "created_at", postgresql_where=text("temporary")),
        Index("images_trashed_idx", "user_id", "trashed_at", "id", postgresql_where=text("trashed_at IS NOT NULL")),
        Index(
            "images_taken_idx",
            "user_id",
            text("(coalesce(taken_at, created_at))"),
            "id",
            postgresql_where=text("NOT temporary"),
        ),
        Index(
            "images_quality_idx",
            "user_id",
            text("(coalesce(quality, -1))"),
            "id",
            postgresql_where=text("NOT temporary"),
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=Id)
    sha256: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="RESTRICT"), type_=Id)
    filename: Mapped[str | None]
    source_url: Mapped[str | None]
    temporary: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the image is removed after `retention.temporary_s` seconds, unless an album holds it."""
    taken_at: Mapped[datetime | None]
    """When it was taken; where `zone_min` is null, the camera's clock taken for UTC."""
    zone_min: Mapped[int | None] = mapped_column(SmallInteger)
    """Minutes by which the camera's clock was ahead of UTC."""
    camera: Mapped[str | None]
    latitude: Mapped[float | None]
    """Degrees north, known with `longitude` only."""
    longitude: Mapped[float | None]
    quality: Mapped[float | None]
    """`PictureQualityRow.score` of its content, once that is judged; here for the index."""
    trashed_at: Mapped[datetime | None]
    """Since when it lies in the trash; it is in no album then."""


class TrashedItemRow(Base):
    """A place in an album that an image had before it came into the trash."""

    __tablename__ = "trashed_items"
    __table_args__ = (Index(None, "album_id"),)

    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    ref: Mapped[str]
    ref_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[str]


class ImageTagRow(Base):
    """A tag of an image: by the model, by its user, or by both."""

    __tablename__ = "image_tags"
    __table_args__ = (
        Index(None, "tag", "image_id"),
        Index("image_tags_own_idx", "tag", "image_id", postgresql_where=text("verdict")),
    )

    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), type_=Id, primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float | None] = mapped_column(REAL)
    """Probability by the model; null: not one of its tags."""
    verdict: Mapped[bool | None]
    """What the user says, which wins: added (true), taken away (false), nothing (null)."""


class PictureVectorsRow(Base):
    """Embedding vectors of a file content by one model."""

    __tablename__ = "picture_vectors"

    sha256: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="CASCADE"), type_=Id, primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    views: Mapped[int] = mapped_column(SmallInteger)
    vectors: Mapped[bytes] = mapped_column(LargeBinary)
    """`float16[views, D]`, C order, little-endian."""


class PictureQualityRow(Base):
    """Image quality assessment of a file content."""

    __tablename__ = "picture_quality"

    sha256: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="CASCADE"), type_=Id, primary_key=True)
    sharpness: Mapped[float]
    exposure: Mapped[float]
    score: Mapped[float]
    issues: Mapped[list[str]] = mapped_column(ARRAY(Text))


class PictureTextsRow(Base):
    """What is written in a file content, and whether it looks as if anything were."""

    __tablename__ = "picture_texts"

    sha256: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="CASCADE"), type_=Id, primary_key=True)
    writing: Mapped[float | None] = mapped_column(REAL)
    """Share that looks like lines of text (`algorithms.texts.likelihood`); null: not measured."""
    model: Mapped[str | None]
    """What read it; null, as all that follows: nothing did."""
    read_px: Mapped[int | None]
    """Longest side at which it was read; 0: a glance at it found nothing."""
    lines: Mapped[list[Any] | None] = mapped_column(JSONB)
    """Lines in reading order: the eight numbers of the corners in pixels of the upright original, detection score,
    text, recognition score."""
    page: Mapped[str | None]
    """All of it as plain text; empty: nothing is written there."""
    words: Mapped[str | None]
    """The plain text in the form that words are compared in."""


class FaceScanRow(Base):
    """A search of a file content for faces by one model, also when none was found."""

    __tablename__ = "face_scans"

    sha256: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="CASCADE"), type_=Id, primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)


class FaceRow(Base):
    """A face found in a file content by one model."""

    __tablename__ = "faces"
    __table_args__ = (
        UniqueConstraint("sha256", "model", "ordinal"),
        ForeignKeyConstraint(
            ["sha256", "model"], ["face_scans.sha256", "face_scans.model"], ondelete="CASCADE", name="faces_scan_fkey"
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    sha256: Mapped[str] = mapped_column(Id)
    model: Mapped[str]
    ordinal: Mapped[int] = mapped_column(SmallInteger)
    """Index among the faces of its image, the most confident first."""
    bbox: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    score: Mapped[float]
    quality: Mapped[float]
    landmarks: Mapped[bytes] = mapped_column(LargeBinary)
    """`float32[K, 2]`, C order, little-endian."""
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    """`float32[D]`, little-endian."""


class PairVerdictRow(Base):
    """Verdict whether two file contents are copies of one another, by one version of the check."""

    __tablename__ = "pair_verdicts"
    __table_args__ = (CheckConstraint("sha_a < sha_b", name="ordered"), Index(None, "sha_b"))

    sha_a: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="CASCADE"), type_=Id, primary_key=True)
    sha_b: Mapped[str] = mapped_column(ForeignKey("contents.sha256", ondelete="CASCADE"), type_=Id, primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    is_copy: Mapped[bool]
    score: Mapped[float]
    overlap: Mapped[float]
    overlay: Mapped[str | None]
    """Which of the two bears an overlay: "left" is `sha_a`."""
