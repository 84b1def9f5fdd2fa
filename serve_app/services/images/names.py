"""Names of image files: for people to read, so that no name is a reason to refuse the image."""

from __future__ import annotations

from unicodedata import category
from urllib.parse import unquote, urlsplit

MAX_NAME = 255
"""Characters kept of a name, its ending among them."""
_MAX_ENDING = 10
_UNFIT = frozenset({"Cc", "Cs"})
"""Control characters and half surrogate pairs."""


def storable_name(filename: str | None) -> str | None:
    """Make a client's file name storable: what cannot be shown is replaced, and a long one cut before its ending."""
    if not filename:
        return None
    if len(filename) > MAX_NAME:
        stem, dot, ending = filename.rpartition(".")
        ending = dot + ending if stem and len(ending) < _MAX_ENDING else ""
        filename = filename[: MAX_NAME - len(ending)] + ending
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) in _UNFIT else c for c in filename)


def name_in_url(url: str) -> str | None:
    """Find the file's name in the path of a URL; None where the path names none."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return storable_name(unquote(path).rpartition("/")[2])
