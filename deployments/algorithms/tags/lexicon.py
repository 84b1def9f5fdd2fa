"""Lexicon: the ImageNet classes that a word, a label or a query stands for, and how sure that is.

First the words themselves (reviewed tags and their synonyms, then WordNet's names over the classes), in singular or
plural. Only what no list knows goes to the sentence model, and there the bar is high: "dolphin" is near "whale" and
"invoice" near "document" for such a model, and a search for the one must not show the other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from deployments.algorithms.tags.vocabulary import DATA, Tag, expand_ranges, load_class_names, normalise
from deployments.contracts.arrays import Vectors

Encoder = Callable[[Sequence[str]], Vectors]
"""Texts -> unit vectors `float32[N, D]`."""
Classes = tuple[int, ...]
"""ImageNet classes by number."""

_STOP_WORDS = frozenset(
    "a an and any at by for from her his in inside into is its my near next of off on onto or our outside over "
    "the their there these this those to under up with your image images photo photograph photographs photos picture "
    "pictures pic pics shot shots snapshot show showing me find all one two three four five six several many "
    "some".split()
)
_IRREGULAR = {
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "children": "child",
    "people": "people",
    "men": "man",
    "women": "woman",
    "leaves": "leaf",
    "wolves": "wolf",
    "calves": "calf",
    "knives": "knife",
    "loaves": "loaf",
    "scarves": "scarf",
    "shelves": "shelf",
    "oxen": "ox",
    "buses": "bus",
    "gases": "gas",
    "shoes": "shoe",
    "canoes": "canoe",
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """Parts of a text that have a meaning here, each a set of classes."""

    parts: tuple[Classes, ...]
    understood: float
    """Share of the text's content words that the parts cover, 0 to 1."""


class Lexicon:
    """Translator of texts into classes. `encode` is called only when a text is in no list."""

    def __init__(
        self,
        tags: Sequence[Tag],
        words: dict[str, Classes],
        encode: Encoder,
        min_cosine: float,
    ) -> None:
        self._encode = encode
        self._min_cosine = min_cosine
        self._phrases: dict[str, Classes] = {}
        tag_phrases = {phrase: tag.classes for tag in tags for phrase in tag.words}
        tag_phrases |= {tag.name: tag.classes for tag in tags}
        for phrase, classes in [*words.items(), *tag_phrases.items()]:
            self._phrases[singular(phrase)] = classes
        self._longest = max(len(phrase.split()) for phrase in self._phrases)
        self._near = tuple(tag_phrases)

    def label(self, text: str) -> Meaning | None:
        """Interpret a client's label; None unless every content word of it has a meaning."""
        meaning = self.query(text)
        return meaning if meaning and meaning.understood == 1 else None

    def query(self, text: str) -> Meaning | None:
        """Interpret what can be understood of a query, the longest known phrases first; None if that is nothing."""
        words = [word for word in singular(text).split() if word not in _STOP_WORDS]
        if not words:
            return None
        whole = self._phrases.get(singular(text)) or self._phrases.get(" ".join(words)) or self._nearest(text)
        if whole:
            return Meaning((whole,), 1.0)
        parts: list[Classes] = []
        understood = start = 0
        while start < len(words):
            for length in range(min(self._longest, len(words) - start), 0, -1):
                phrase = " ".join(words[start : start + length])
                classes = self._phrases.get(phrase) or (self._nearest(phrase) if length == 1 else None)
                if classes:
                    parts.append(classes)
                    understood += length
                    start += length
                    break
            else:
                start += 1
        return Meaning(tuple(dict.fromkeys(parts)), understood / len(words)) if parts else None

    def _nearest(self, text: str) -> Classes | None:
        """Find the classes of the tag that means almost the same.

        Not where the text is a piece of the tag's name: "toast" is no toaster, and "mouse" no computer mouse.
        """
        asked = normalise(text)
        cosines = self._near_vectors @ self._encode([asked])[0]
        best = int(np.argmax(cosines))
        if cosines[best] < self._min_cosine or asked in self._near[best]:
            return None
        return self._phrases[singular(self._near[best])]

    @cached_property
    def _near_vectors(self) -> Vectors:
        """Vectors of all tag phrases: a second or two of work, so only when a text first needs it."""
        return self._encode([normalise(phrase) for phrase in self._near])


def load_words(path: Path = DATA / "words.tsv") -> dict[str, Classes]:
    """Load words and their classes, as `python -m bench.tools.tag_words` made them from WordNet."""
    rows = (line.split("\t") for line in path.read_text().splitlines()[1:])
    return {word: expand_ranges(ranges) for word, ranges in rows}


def load_groups(
    tags: Sequence[Tag], words: Mapping[str, Classes], path: Path = DATA / "groups.toml"
) -> dict[str, Classes]:
    """Load everyday words over several kinds of things, each with the union of its members' classes.

    A member is a group above it in the file, a tag, a word of `words` or the name of an ImageNet class, the first of
    these that there is. Raises `ValueError` for a member that is none.
    """
    known: dict[str, Classes] = {}
    for number, name in enumerate(load_class_names()):
        known[normalise(name)] = (*known.get(normalise(name), ()), number)
    known |= words
    known |= {phrase: tag.classes for tag in tags for phrase in (*tag.words, tag.name)}
    groups: dict[str, Classes] = {}
    for name, group in tomllib.loads(path.read_text()).items():
        if unknown := [member for member in group["of"] if normalise(member) not in known]:
            raise ValueError(f"{path.name}: {name} holds {', '.join(unknown)}, which nothing knows")
        classes = tuple(sorted({number for member in group["of"] for number in known[normalise(member)]}))
        for phrase in (name, *group.get("words", ())):
            groups[phrase] = known[normalise(phrase)] = classes
    return groups


def singular(phrase: str) -> str:
    """Normalise a phrase and put each word of it in the singular, by the regular English endings."""
    return " ".join(_singular_word(word) for word in normalise(phrase).split())


def _singular_word(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or word.endswith(("ss", "us", "is", "news")) or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if re.search(r"(ss|sh|ch|x|zz|to|[^aeiou]ro)es$", word):
        return word[:-2]
    return word[:-1]


def relevance(meaning: Meaning, part_probabilities: Vectors) -> Vectors:
    """Combine the probabilities of a meaning's parts `float32[N, P]` into relevance `float32[N]`.

    The geometric mean of the parts, since an image must show them all and they share one probability between them;
    less what was not understood of the text.
    """
    clipped = np.maximum(part_probabilities, np.float32(1e-9))
    return np.asarray(np.exp(np.log(clipped).mean(axis=1)) * meaning.understood, np.float32)
