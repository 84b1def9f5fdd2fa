"""Lenient field types for clients of the Stable Diffusion web API: numbers as text, whole numbers with a point,
switches as 0 and 1, null for a field that was left out."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

LONGEST_LIST = 1000
"""Longest list of images, however few are used: a body of many megabytes could hold millions of empty ones."""
_LONGEST_NUMBER = 64


def _number(value: Any) -> float | int:
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        text = value.strip()
        try:
            return int(text)
        except ValueError:
            value = _float(text)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise PydanticCustomError("type_error.number", "value is not a valid number")


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _int(value: Any) -> int:
    return math.trunc(_number(value))


def _real(value: Any) -> float:
    try:
        return float(_number(value))
    except OverflowError:
        raise PydanticCustomError("type_error.number", "value is not a valid number") from None


def _switch(value: Any) -> bool:
    if isinstance(value, str):
        if value.strip().lower() in {"true", "yes", "on", "t", "y"}:
            return True
        if value.strip().lower() in {"false", "no", "off", "f", "n", ""}:
            return False
    return _number(value) != 0


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise PydanticCustomError("type_error.str", "str type expected")


def _schema(kind: str) -> WithJsonSchema:
    return WithJsonSchema({"type": kind})


Int = Annotated[int, BeforeValidator(_int), _schema("integer")]
Real = Annotated[float, BeforeValidator(_real), _schema("number")]
Switch = Annotated[bool, BeforeValidator(_switch), _schema("boolean")]
Text = Annotated[str, BeforeValidator(_text), _schema("string")]


class LenientModel(BaseModel):
    """A body whose unknown fields are ignored and whose nulls count as left out."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None}
