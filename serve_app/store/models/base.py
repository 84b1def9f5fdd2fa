"""Base classes and column types of all tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Double, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Id = Text(collation="C")
"""Type of ids: text that sorts byte by byte on every server, so that ids are cursors."""
Time = TIMESTAMP(timezone=True)


class Base(DeclarativeBase):
    """Declarative base with the naming convention of constraints and the mapping of types."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: Time, str: Text, float: Double, dict[str, Any]: JSONB}


class Created:
    """Mixin with the time of creation."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
