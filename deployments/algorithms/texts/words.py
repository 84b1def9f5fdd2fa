"""Words of pages: the form in which they are compared, and which page says a word."""

from __future__ import annotations

import re

from deployments.algorithms.tags.translations import plain

UNSPACED = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Characters, for a class of a pattern, of the scripts that write no spaces between words: Han, kana, and their
punctuation."""
_BETWEEN = re.compile(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")
_LONGEST_QUOTE = 80


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
    """Quote the first line of a page that says a comparable word, cut around it where it is long."""
    lines = page.split("\n")
    line = " ".join(next((line for line in lines if says(comparable(line), wanted)), lines[0]).split())
    if len(line) <= _LONGEST_QUOTE:
        return line
    at = max(plain(line).find(wanted), 0)
    start = max(0, min(at - _LONGEST_QUOTE // 2, len(line) - _LONGEST_QUOTE))
    end = start + _LONGEST_QUOTE
    return ("…" if start else "") + line[start:end].strip() + ("…" if end < len(line) else "")
