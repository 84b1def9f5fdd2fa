"""Lists of values as the web UI's X/Y/Z plot reads them: commas, ranges `1-5`, `1-9 (+2)` and counts `1-9 [5]`."""

from __future__ import annotations

import csv
import math
import re
from io import StringIO

import numpy as np

_NUMBER = r"\s*([+-]?\s*\d+(?:\.\d*)?)\s*"
_RANGE = re.compile(rf"{_NUMBER}-{_NUMBER}(?:\(\s*([+-]\d+(?:\.\d*)?)\s*\))?\s*")
_COUNT = re.compile(rf"{_NUMBER}-{_NUMBER}\[\s*(\d+)\s*\]\s*")
_LONGEST_TEXT = 2**19
"""Characters of a list: no request that says more is kept."""
_LONGEST_RANGE = 100
"""Characters of a number or range. Blanks in a longer one would be looked through for minutes."""


class TooMany(ValueError):
    """More values than are wanted."""


def split_values(text: str, most: int) -> list[str]:
    """Split text at its commas, as CSV, where quotation marks keep a comma. Raises `TooMany`, `ValueError`."""
    if len(text) > _LONGEST_TEXT:
        raise ValueError("the list is too long")
    try:
        values = [value.strip() for row in csv.reader(StringIO(text), skipinitialspace=True) for value in row]
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if len(values) > most:
        raise TooMany
    return values


def expand_reals(values: list[str], most: int) -> list[float]:
    """Expand ranges of real numbers, both ends included. Raises `TooMany`, and `ValueError` for what is no number."""
    _check_lengths(values)
    found: list[float] = []
    for value in values:
        if counted := _COUNT.fullmatch(value):
            start, end, count = _real(counted[1]), _real(counted[2]), int(counted[3])
            if count > most:
                raise TooMany
            found += np.linspace(start, end, count).tolist()
        elif ranged := _RANGE.fullmatch(value):
            found += _range(_real(ranged[1]), _real(ranged[2]), float(ranged[3] or 1), most)
        else:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError(value)
            found.append(number)
        if len(found) > most:
            raise TooMany
    return found


def expand_integers(values: list[str], most: int) -> list[int]:
    """Expand ranges of integers, both ends included; of a count, what lies between them is cut to integers. Raises
    `TooMany`, and `ValueError` for what is no integer."""
    _check_lengths(values)
    for value in values:
        if not (_COUNT.fullmatch(value) or _RANGE.fullmatch(value)):
            int(value)
        elif "." in value:
            raise ValueError(value)
    return [int(value) if _is_whole(value) else math.trunc(number) for value, number in _expanded(values, most)]


def _check_lengths(values: list[str]) -> None:
    if any(len(value) > _LONGEST_RANGE for value in values):
        raise ValueError("a number or range is too long")


def _expanded(values: list[str], most: int) -> list[tuple[str, float]]:
    found = [(value, number) for value in values for number in expand_reals([value], most)]
    if len(found) > most:
        raise TooMany
    return found


def _is_whole(value: str) -> bool:
    """Whether it is an integer by itself, whose every digit counts, as those of long seeds."""
    return re.fullmatch(r"\s*[+-]?\d+\s*", value) is not None


def _real(text: str) -> float:
    return float(re.sub(r"\s", "", text))


def _range(start: float, end: float, step: float, most: int) -> list[float]:
    steps = (end - start) / step if step else math.inf
    if steps < 0:
        return []
    if steps > most:
        raise TooMany
    return [start + place * step for place in range(math.floor(steps + 1e-9) + 1)]
