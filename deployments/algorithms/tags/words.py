"""Lists of English words and the ImageNet classes that they stand for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from deployments.algorithms.tags.vocabulary import DATA, Tag, expand_ranges, load_class_names, normalise

Classes = tuple[int, ...]
"""ImageNet classes by number."""
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
