"""Names of textual inversions in a prompt: those that are there, and words that look like ones that are not."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WELL_KNOWN = (
    "easynegative", "badhandv4", "bad-hands-5", "bad_prompt", "bad-artist", "bad-image-v2",
    "ng_deepnegative", "verybadimagenegative", "fastnegative", "negative_hand", "realisticvision-negative",
    "baddream", "unrealisticdream", "fastnegativev2", "cyberrealistic_negative", "juggernautnegative",
    "negativexl", "unaestheticxl", "badpic", "boring_e621", "aid291", "bad_pictures", "epicnegative",
    "epicphotogasm-softnegative", "bad_quality_v1", "aissist-neg", "lazyneg", "lazypos",
)  # fmt: skip
"""Beginnings of the names of textual inversions that many prompts repeat."""
_WORD = re.compile(r"[a-z][\w.-]*", re.IGNORECASE)
_VERSIONED = re.compile(r"[a-z]{3}[a-z0-9]*[_-]?v\d+([._-][a-z0-9]+)*$|[_-](neg|negative)$")
"""Ending of a word with a version, or of a negative one: no word of a language."""
_LONGEST = 80
_MOST = 8


def find_named(text: str, names: Iterable[str]) -> list[str]:
    """List the names that stand in a prompt as words of their own, in any case."""
    lower = text.lower()
    likely = [name for name in names if name.lower() in lower]  # a pattern for each of thousands takes half a second
    return [name for name in likely if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)]


def find_missing(text: str, names: Iterable[str]) -> list[str]:
    """List words of a prompt that look like the name of a textual inversion and are none of `names`; at most eight."""
    known = {name.lower() for name in names}
    found: dict[str, None] = {}
    for match in _WORD.finditer(text):
        word = match[0][:_LONGEST].rstrip(".-_")
        lower = word.lower()
        if lower not in known and _looks_like_one(lower):
            found[word] = None
    return list(found)[:_MOST]


def _looks_like_one(word: str) -> bool:
    return word.startswith(_WELL_KNOWN) or _VERSIONED.search(word) is not None
