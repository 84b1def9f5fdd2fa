"""Attention weights `(a)`, `[a]`, `(a:1.2)` of a prompt's stretches, and BREAK, which begins a new chunk."""

from __future__ import annotations

import re
from typing import NamedTuple

ROUND = 1.1
SQUARE = 1 / 1.1
"""Factors of round and square brackets."""
MAX_WEIGHT = 1e6
"""Largest weight, at which nested brackets stop growing: a weight is always a finite number."""
_BREAK_WEIGHT = -1.0

_TOKEN = re.compile(
    r"""
    \\(?P<escaped>[()\[\]\\]?)
    | (?P<open>[(\[])
    | :\s*+(?P<weight>[+-]?[.\d]+)\s*+\)
    | (?P<close>[)\]])
    | [^\\()\[\]:]+
    | :
    """,
    re.VERBOSE | re.ASCII,
)
_BREAK = re.compile(r"\bBREAK\b")


class Stretch(NamedTuple):
    """Stretch of a prompt, and the factor of its tokens' embeddings."""

    text: str
    weight: float

    @property
    def is_break(self) -> bool:
        """True where a chunk ends. Brackets around BREAK multiply its weight, and then it is a word like any other."""
        return self.text == "BREAK" and self.weight == _BREAK_WEIGHT


def parse_attention(text: str) -> list[Stretch]:
    """Parse a prompt into at least one stretch; neighbours differ in weight. Brackets that do not match are text or
    count to the end."""
    texts: list[str] = []
    bases: list[float] = []
    spans: list[tuple[int, int, float]] = []
    """Start and end in `texts`, and the factor."""
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def add(piece: str, weight: float = 1.0) -> None:
        texts.append(piece)
        bases.append(weight)

    def close(bracket: str, weight: float) -> None:
        spans.append((opened[bracket].pop(), len(texts), weight))

    for token in _TOKEN.finditer(text):
        piece = token[0]
        if piece.startswith("\\"):
            add(token["escaped"])
        elif token["open"]:
            opened[piece].append(len(texts))
        elif token["weight"] and opened["("]:
            if (weight := _number(token["weight"])) is None:
                add(piece.removesuffix(")"))
                weight = ROUND
            close("(", weight)
        elif piece == ")" and opened["("]:
            close("(", ROUND)
        elif piece == "]" and opened["["]:
            close("[", SQUARE)
        else:
            words = _BREAK.split(piece)
            for place, word in enumerate(words):
                if place:
                    add("BREAK", _BREAK_WEIGHT)
                    word = word.lstrip()
                add(word.rstrip() if place < len(words) - 1 else word)
    for bracket, weight in (("(", ROUND), ("[", SQUARE)):
        while opened[bracket]:
            close(bracket, weight)
    return _merge(texts, _weigh(bases, spans))


def _number(digits: str) -> float | None:
    try:
        return _clamp(float(digits))
    except ValueError:  # "1.2.3"
        return None


def _clamp(weight: float) -> float:
    return max(-MAX_WEIGHT, min(MAX_WEIGHT, weight))


def _weigh(weights: list[float], spans: list[tuple[int, int, float]]) -> list[float]:
    """Multiply each weight by the factors of all spans around it, in `O((n + spans) log n)`: a tree of ranges.

    Spans may cross: `(a [b) c]`.
    """
    size = len(weights)
    tree = [1.0] * size + weights
    for start, end, factor in spans:
        low, high = start + size, end + size
        while low < high:
            if low & 1:
                tree[low] = _clamp(tree[low] * factor)
                low += 1
            if high & 1:
                high -= 1
                tree[high] = _clamp(tree[high] * factor)
            low, high = low // 2, high // 2
    for node in range(2, 2 * size):
        tree[node] = _clamp(tree[node] * tree[node // 2])
    return tree[size:]


def _merge(texts: list[str], weights: list[float]) -> list[Stretch]:
    groups: list[tuple[list[str], float]] = []
    for text, weight in zip(texts, weights, strict=True):
        if groups and groups[-1][1] == weight:
            groups[-1][0].append(text)
        else:
            groups.append(([text], weight))
    return [Stretch("".join(pieces), weight) for pieces, weight in groups] or [Stretch("", 1.0)]
