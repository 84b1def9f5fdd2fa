"""Array parameters for long lists: a statement of PostgreSQL's holds at most 32767 parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, CollectionAggregate, ColumnElement, Text, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY


def any_text(values: Iterable[str]) -> CollectionAggregate[Any]:
    """Make the right side of `column == any_text(values)`."""
    return any_(_array(list(values), Text))


def any_number(values: Iterable[int]) -> CollectionAggregate[Any]:
    """Make the right side of `column == any_number(values)`, 64-bit integers."""
    return any_(_array([int(value) for value in values], BigInteger))


def _array(values: list[Any], item: Any) -> ColumnElement[Any]:
    return literal(values, ARRAY(item))


def like(words: str) -> str:
    """Escape a text for a pattern of LIKE ... ESCAPE '!'."""
    return words.replace("!", "!!").replace("%", "!%").replace("_", "!_")
