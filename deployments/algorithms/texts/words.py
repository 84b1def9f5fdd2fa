"""Words of pages: the form in which they are compared, and which page says a word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deployments.algorithms.tags.translations import plain

UNSPACED = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Characters, for a class of a pattern, of the scripts that write no spaces between words: Han, kana, and their
punctuation."""
_BETWEEN = re.compile(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")
_LONGEST_QUOTE = 80
_MOST_LINES = 4
"""Lines over which what is quoted may run, so that the one where it begins is found."""


def comparable(text: str) -> str:
    """Put a text in the form that words are compared in: as `plain`, its lines joined, without the spaces that lines
    and cells of unspaced scripts leave."""
    return _BETWEEN.sub("", " ".join(plain(text).split()))


def says(words: str, wanted: str) -> bool:
    """Tell whether a comparable text says a comparable word: one of its words begins with it.

    Scripts without spaces, and those that put particles to words, have it anywhere.
    """
    if not wanted:
        return False
    anywhere = not wanted[0].isascii()
    at = words.find(wanted)
    while at >= 0:
        if anywhere or not (words[at - 1 : at].isascii() and words[at - 1 : at].isalnum()):
            return True
        at = words.find(wanted, at + 1)
    return False


def quote(page: str, wanted: str) -> str:
    """Quote the first line of a page that says comparable words, or begins to, cut around them where it is long."""
    line = " ".join(_line_that_says(page.split("\n"), wanted).split())
    if len(line) <= _LONGEST_QUOTE:
        return line
    at = max(plain(line).find(wanted), 0)
    start = max(0, min(at - _LONGEST_QUOTE // 2, len(line) - _LONGEST_QUOTE))
    end = start + _LONGEST_QUOTE
    return ("…" if start else "") + line[start:end].strip() + ("…" if end < len(line) else "")


def _line_that_says(lines: Sequence[str], wanted: str) -> str:
    for together in range(1, _MOST_LINES + 1):
        for place, line in enumerate(lines):
            if says(comparable("\n".join(lines[place : place + together])), wanted):
                return line
    return lines[0]
