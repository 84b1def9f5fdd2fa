"""Lexicon: the ImageNet classes that a word, a label or a query stands for, and how sure that is.

First the words themselves (reviewed tags, groups and their synonyms, then those of other languages, then WordNet's
names over the classes), in singular or plural, then misspelt ones. Only what no list knows goes to the sentence model,
and there the bar is high: "dolphin" is near "whale" and "invoice" near "document" for such a model, and a search for
the one must not show the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deployments.algorithms.tags.queries import STOP_WORDS, split_words
from deployments.algorithms.tags.spelling import Spelling
from deployments.algorithms.tags.translations import Translation, Translations, without_accents
from deployments.algorithms.tags.vocabulary import Tag, normalise
from deployments.algorithms.tags.words import Classes, singular
from deployments.contracts.arrays import Vectors

Encoder = Callable[[Sequence[str]], Vectors]
"""Texts -> unit vectors `float32[N, D]`."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Parts of a text that have a meaning here, each a set of classes."""

    parts: tuple[Classes, ...]
    understood: float
    """Share of the text's content words that the parts cover, 0 to 1."""


class Lexicon:
    """Translator of texts into classes. `encode` is called only when a text is in no list and no misspelt word."""

    def __init__(
        self,
        tags: Sequence[Tag],
        words: Mapping[str, Classes],
        encode: Encoder,
        min_cosine: float,
        *,
        groups: Mapping[str, Classes] | None = None,
        translations: Sequence[Translation] = (),
        real_words: frozenset[str] = frozenset(),
    ) -> None:
        """`translations` name `tags` or `groups`; `real_words` are not taken for misspelt ones."""
        self._encode = encode
        self._min_cosine = min_cosine
        tag_phrases = {phrase: tag.classes for tag in tags for phrase in tag.words}
        tag_phrases |= {tag.name: tag.classes for tag in tags}
        reviewed = {**(groups or {}), **tag_phrases}
        self._reviewed = {singular(phrase): classes for phrase, classes in reviewed.items()}
        self._words = {singular(phrase): classes for phrase, classes in words.items()}
        self._by_name = reviewed
        self._translations = Translations([row for row in translations if row.tag in reviewed])
        self._near = tuple(tag_phrases)
        spelt = {word for phrase in reviewed for word in normalise(phrase).split() if len(word) > 2}
        self._spelling = Spelling(spelt, self._translations.latin_words, real_words)
        longest = max(len(phrase.split()) for phrase in (*self._reviewed, *self._words))
        self._longest = max(longest, self._translations.longest_phrase)

    def label(self, text: str) -> Meaning | None:
        """Interpret a client's label; None unless every content word of it has a meaning."""
        meaning = self.query(text)
        return meaning if meaning and meaning.understood == 1 else None

    def query(self, text: str) -> Meaning | None:
        """Interpret what can be understood of a query, the longest known phrases first; None if that is nothing."""
        words = split_words(text, self._translations)
        content = [word for word in words if word not in STOP_WORDS]
        if whole := self._listed(words) or self._listed(content):
            return Meaning((whole,), 1.0)
        if not content:
            return None
        corrected = [self._corrected(word) for word in words]
        if whole := self._listed(corrected):
            return Meaning((whole,), 1.0)
        parts, understood, count = self._parts(corrected)
        if understood < count and len(content) > 1 and (whole := self._nearest(text)):
            return Meaning((whole,), 1.0)
        return Meaning(tuple(dict.fromkeys(parts)), understood / count) if parts else None

    def _parts(self, words: Sequence[str]) -> tuple[list[Classes], int, int]:
        """Find the phrases of a text; -> their classes, how many content words they cover, how many there are."""
        parts: list[Classes] = []
        understood = count = start = 0
        while start < len(words):
            for length in range(min(self._longest, len(words) - start), 0, -1):
                phrase = words[start : start + length]
                is_stop = length == 1 and phrase[0] in STOP_WORDS
                classes = None if is_stop else self._listed(phrase)
                if classes:
                    parts.append(classes)
                    understood += length
                    count += length
                    start += length
                    break
            else:
                if words[start] not in STOP_WORDS:
                    count += 1
                    if near := self._nearest(words[start]):
                        parts.append(near)
                        understood += 1
                start += 1
        return parts, understood, count

    def _listed(self, words: Sequence[str]) -> Classes | None:
        """Look up a phrase: the reviewed words, then other languages', then WordNet's."""
        phrase = " ".join(words)
        english = singular(without_accents(phrase))
        if classes := self._reviewed.get(english):
            return classes
        if tags := self._translations.find(phrase):
            return tuple(sorted({number for tag in tags for number in self._by_name[tag]}))
        return self._words.get(english)

    def _corrected(self, word: str) -> str:
        """Correct a word that no list has; a word without a correction stays as it is."""
        if word in STOP_WORDS or word in self._spelling or self._listed([word]):
            return word
        nearest = self._spelling.nearest(without_accents(word))
        meanings = {self._listed([known]) for known in nearest}
        return nearest[0] if len(meanings) == 1 else word

    def _nearest(self, text: str) -> Classes | None:
        """Find the classes of the tag that means almost the same, for English.

        Not where the text is a piece of the tag's name: "toast" is no toaster, and "mouse" no computer mouse.
        """
        asked = normalise(text)
        if not asked.isascii():
            return None
        cosines = self._near_vectors @ self._encode([asked])[0]
        best = int(np.argmax(cosines))
        if cosines[best] < self._min_cosine or asked in self._near[best]:
            return None
        return self._by_name[self._near[best]]

    @cached_property
    def _near_vectors(self) -> Vectors:
        """Vectors of all tag phrases: a second or two of work, so only when a text first needs it."""
        return self._encode([normalise(phrase) for phrase in self._near])


def relevance(meaning: Meaning, part_probabilities: Vectors) -> Vectors:
    """Combine the probabilities of a meaning's parts `float32[N, P]` into relevance `float32[N]`.

    The geometric mean of the parts, since an image must show them all and they share one probability between them;
    less what was not understood of the text.
    """
    clipped = np.maximum(part_probabilities, np.float32(1e-9))
    return np.asarray(np.exp(np.log(clipped).mean(axis=1)) * meaning.understood, np.float32)
