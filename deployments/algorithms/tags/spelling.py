"""Correction of misspelt words against the words that have a meaning here, by edit distance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from rapidfuzz.distance import OSA

from deployments.algorithms.tags.vocabulary import DATA

_LENGTHS = ((8, 2), (5, 1))
"""Letters from which on a word may have so many mistakes: an insertion, a loss, another letter, two letters swapped."""
_SHORTEST = 3
"""Letters from which on two letters may be swapped and nothing else."""


class Spelling:
    """Corrects words in Latin letters without accents."""

    def __init__(self, english: Iterable[str], others: Iterable[str], real: frozenset[str] = frozenset()) -> None:
        """`english`, `others`: words to correct to. `real`: right words, "cake" being no misspelt "lake"."""
        self._real = real
        self._english = frozenset(english)
        self._all = self._english.union(others)
        self._by_start: dict[tuple[str, int], list[str]] = defaultdict(list)
        for word in self._all:
            self._by_start[word[:1], len(word)].append(word)

    def __contains__(self, word: str) -> bool:
        return word in self._all

    def nearest(self, word: str) -> tuple[str, ...]:
        """Find the known words that are nearest to a misspelt one, English ones before all others; empty: none is near.

        A misspelt word begins with the right letter, or with the first two swapped.
        """
        if not (word.isascii() and word.isalpha()) or len(word) < _SHORTEST or word in self._real:
            return ()
        most = next((mistakes for letters, mistakes in _LENGTHS if len(word) >= letters), 1)
        is_short = len(word) < _LENGTHS[-1][0]
        found: dict[str, int] = {}
        lengths = range(len(word) - most, len(word) + most + 1) if not is_short else (len(word),)
        for start, length in product({word[0], word[1]}, lengths):
            for known in self._by_start.get((start, length), ()):
                if start != word[0] and known[1:2] != word[0]:
                    continue
                if not is_short or sorted(known) == sorted(word):
                    found[known] = OSA.distance(word, known, score_cutoff=most)
        least = min(found.values(), default=most + 1)
        best = sorted(known for known, distance in found.items() if distance == least <= most)
        return tuple([known for known in best if known in self._english] or best)


def load_real_words(path: Path = DATA / "real_words.txt") -> frozenset[str]:
    """Load real words that are near known ones, as `python -m bench.tools.real_words` made them."""
    return frozenset(line for line in path.read_text().splitlines() if not line.startswith("#"))
