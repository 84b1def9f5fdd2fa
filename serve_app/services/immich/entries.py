"""What a request of Immich's asks for: its `entries`, tasks of models with their options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configs.immich import clean_name
from deployments.errors import InvalidRequest

LONGEST = 65_536
"""Characters of `entries`; Immich's have two hundred."""
_MOST_ENTRIES = 16
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that is to be run, and with what options."""

    name: str
    """Name of the model, cleaned."""
    options: Mapping[str, Any]

    def share(self, option: str, default: float) -> float:
        """Read an option that is a number from 0 to 1. Raises `InvalidRequest`."""
        value = self.options.get(option, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InvalidRequest(f"entries: `{option}` must be a number from 0 to 1.")
        return float(value)


Entries = Mapping[str, Entry]
"""Kind of model ("visual", "detection") -> the entry of it."""


def read_entries(text: str) -> dict[str, Entries]:
    """Read `{task: {kind: {"modelName": ..., "options": {...}}}}`. -> task -> its entries

    Raises `InvalidRequest`.
    """
    if len(text) > LONGEST:
        raise InvalidRequest(f"entries: at most {LONGEST} characters are read.")
    try:
        asked = json.loads(text)
        json.dumps(asked, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # no JSON; numbers or nesting without end; halves of characters
        raise InvalidRequest("entries: this is no JSON.") from None
    tasks = {task: _read_task(task, kinds) for task, kinds in _object(asked, "entries").items()}
    if sum(map(len, tasks.values())) > _MOST_ENTRIES:
        raise InvalidRequest(f"entries: at most {_MOST_ENTRIES} models are run in one request.")
    return tasks


def _read_task(task: str, kinds: Any) -> Entries:
    return {kind: _read_entry(task, kind, entry) for kind, entry in _object(kinds, f"entries, {task[:40]}").items()}


def _read_entry(task: str, kind: str, entry: Any) -> Entry:
    where = f"entries, {task[:40]}, {kind[:40]}"
    name, options = _object(entry, where).get("modelName"), entry.get("options")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise InvalidRequest(f"{where}: `modelName` must be a text of 1 to {_LONGEST_NAME} characters.")
    return Entry(clean_name(name), {} if options is None else _object(options, f"{where}, options"))


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where}: this must be an object.")
    return value
