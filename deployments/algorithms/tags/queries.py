"""Parts of a search query: what is wanted, what is excluded, and the words for people, which faces answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from deployments.algorithms.tags.translations import Translations, load_translations, plain
from deployments.algorithms.tags.vocabulary import PEOPLE_WORDS, load_tags
from deployments.algorithms.tags.words import load_groups, load_words

MAX_EXCLUDED = 10
"""Excluded words of a query: each costs a pass over the album."""
_EXCLUDED = re.compile(r"(?:^|(?<=\s))[-\u2212\u2013\uff0d](?:\"([^\"]+)\"|(\S+))")
_STOP_WORDS = {
    "en": "a an and any at by for from her his in inside into is its my near next of off on onto or our outside over "
    "the their there these this those to under up with your image images photo photograph photographs photos picture "
    "pictures pic pics shot shots snapshot show showing me find all one two three four five six several many some",
    "de": "der die das den dem des ein eine einen einem einer eines und oder mit ohne im in am an auf aus bei von vom "
    "zu zum zur für mein meine foto fotos bild bilder zwei drei viele",
    "fr": "le la les un une des du de d' l' et ou avec sans dans sur sous à au aux en mon ma mes photo photos image "
    "images deux trois",
    "es": "el la los las un una unos unas y o e con sin en de del al sobre mi mis foto fotos imagen imágenes dos tres",
    "ko": "사진 그림 이미지 있는 그리고 와 과 의 에서",
    "ja": "の と 写真 画像",
    "zh": "的 和 照片 图片 圖片",
}
STOP_WORDS = frozenset(word for words in _STOP_WORDS.values() for word in plain(words).split())
"""Words that say nothing about an image, in all languages."""


@dataclass(frozen=True, slots=True)
class Query:
    """A search query taken apart."""

    wanted: str
    """Text that images must show; may be empty."""
    excluded: tuple[str, ...]
    """Texts of which images must show none."""


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """A text without its words for people."""

    tags: tuple[str, ...]
    """Tags of `vocabulary.people_tags` that the words stand for."""
    rest: str
    """The other words; empty where they say nothing."""


def parse_query(text: str) -> Query:
    """Take a query apart: `-word` and `-"two words"` exclude, and so does any other kind of minus before a word."""
    excluded = [phrase or word for phrase, word in _EXCLUDED.findall(text)]
    return Query(_EXCLUDED.sub(" ", text).strip(), tuple(dict.fromkeys(excluded)))


def split_words(text: str, translations: Translations) -> list[str]:
    """Split a text into plain words, emoji and pieces of Japanese and Chinese, in their order."""
    text = plain(text)
    parts = [(text, False)]
    if translations.emoji is not None:
        parts = [(part, False) for part in translations.emoji.split(text)]
        known = [(emoji, True) for emoji in translations.emoji.findall(text)]
        parts = [part for pair in zip(parts, [*known, ("", False)], strict=True) for part in pair]
    words: list[str] = []
    for part, is_emoji in parts:
        if is_emoji:
            words.append(part)
            continue
        for word in re.sub(r"[^\w']+|_", " ", part).split():
            words += translations.split(word)
    return [word for word in words if word.strip("'")]


def split_people(text: str) -> PeopleQuery:
    """Take the words for people out of a text, in every language: "people on horses" asks faces, and for a horse."""
    words = split_words(text, _translations())
    tags: list[str] = []
    rest: list[str] = []
    start = 0
    while start < len(words):
        for length in range(min(3, len(words) - start), 0, -1):
            phrase = " ".join(words[start : start + length])
            if phrase in _phrases_with_people():
                rest += words[start : start + length]
            elif tag := _people_tag(phrase):
                tags.append(tag)
            else:
                continue
            start += length
            break
        else:
            rest.append(words[start])
            start += 1
    if all(word in STOP_WORDS for word in rest):
        rest = []
    return PeopleQuery(tuple(dict.fromkeys(tags)), " ".join(rest))


def people_tag(text: str) -> str | None:
    """Find the one tag of `vocabulary.people_tags` that a label asks for and nothing else: faces answer it."""
    asked = split_people(text)
    return asked.tags[0] if len(asked.tags) == 1 and not asked.rest else None


def _people_tag(phrase: str) -> str | None:
    for tag, words in PEOPLE_WORDS.items():
        if phrase == tag or phrase in words:
            return tag
    return next((tag for tag in _translations().find(phrase) if tag in PEOPLE_WORDS), None)


@cache
def _translations() -> Translations:
    """Words for people, and everything else that they could be a piece of."""
    return Translations(load_translations())


@cache
def _phrases_with_people() -> frozenset[str]:
    """Phrases of the vocabulary that hold a word for people and mean something else: "face powder"."""
    tags, words = load_tags(), load_words()
    phrases: Sequence[str] = [
        *words,
        *load_groups(tags, words),
        *(word for tag in tags for word in (tag.name, *tag.words)),
    ]
    people = {word for tag, others in PEOPLE_WORDS.items() for word in (tag, *others)}
    return frozenset(
        phrase for phrase in phrases if " " in phrase and phrase not in people and people.intersection(phrase.split())
    )
