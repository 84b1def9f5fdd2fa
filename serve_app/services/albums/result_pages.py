"""Pages of results: which lists each kind of analysis has, where they are, and which cursors they take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from deployments.errors import InvalidRequest
from serve_app.services.albums.results import ResultPages

Section = Literal["tags", "duplicates", "people", "faces", "quality", "texts", "failed"]
KIND_OF: Mapping[str, str] = {
    "tags": "tags",
    "duplicates": "duplicates",
    "people": "people",
    "faces": "people",
    "quality": "quality",
    "texts": "texts",
}
"""List -> kind of analysis; `failed` is a list of each."""

_ITEM = r"\d{19}"
_PERSON = r"per_[0-9a-z]+"
_CURSORS: Mapping[str, str] = {
    "images": _ITEM,
    "tags": _ITEM,
    "quality": _ITEM,
    "texts": _ITEM,
    "failed": _ITEM,
    "duplicates": rf"\d{{10}}\.[0-9a-f]{{64}}\.{_ITEM}",
    "people": rf"\d{{10}}\.{_PERSON}",
    "faces": rf"({_PERSON}|~)\.{_ITEM}\.\d{{4,}}",
}
"""List -> form of its entries' keys, which are its cursors."""


def check_cursor(section: str, cursor: str | None) -> str:
    """Check that a cursor is one of this list. -> the key after which the page begins. Raises `InvalidRequest`."""
    if cursor is None:
        return ""
    if not re.fullmatch(_CURSORS[section], cursor, re.ASCII):
        raise InvalidRequest(
            f"query /cursor: no cursor of the list of {section}. Send `next_cursor` of the page before, unchanged."
        )
    return cursor


def pages_of(album_id: str, kind: str, key: str, counts: Mapping[str, int]) -> ResultPages:
    """Say where the pages of a result begin. `key`: the `params_key` of its parameters."""
    album = quote(album_id, safe="")
    return ResultPages(
        kind=kind,
        counts=dict(counts),
        pages={
            section: f"{album}/{section}?result={key}" + (f"&kind={kind}" if section == "failed" else "")
            for section in counts
        },
    )
