"""Words of other languages and emoji for tags and groups, and how they are looked up.

`assets/vocabulary/translations.tsv` is made by `python -m bench.tools.translations`: language, word, tag, source.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from deployments.algorithms.tags.vocabulary import DATA

LANGUAGES = ("ko", "ja", "zh", "de", "fr", "es")
"""Languages of the table besides English, as ISO 639-1."""
EMOJI = "emoji"
"""Language of the table's emoji."""
_MARKS = re.compile("[\u0300-\u036f]")
"""Accents of Latin letters; kana carry theirs outside this block."""
_VARIANTS = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""Marks of how an emoji is drawn: in colour or not, the tone of skin."""
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "’": "'", "`": "'", "´": "'"})
_HIRAGANA = {katakana: katakana - 0x60 for katakana in range(0x30A1, 0x30F7)}
_UMLAUTS = str.maketrans({"ä": "a", "ö": "o", "ü": "u"})
_TYPED_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_CJK = re.compile("[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff々]")
"""Kana and Chinese characters, which stand without spaces."""
_HANGUL = re.compile("[\uac00-\ud7a3]")
_PARTICLES = tuple(
    "에서는 에서 에게 까지 부터 처럼 보다 으로 이랑 하고 들과 들이 들을 들의 들은 들도 "
    "와 과 랑 은 는 이 가 을 를 의 도 로 에 들 만".split()
)
"""Korean particles and the plural, the longest first."""
_LINKS = frozenset(
    "と の に が を は で も や へ 上 中 的 和 与 與 在 里 裡 裏 跟 及 或 有 是 、 ・ 写真 画像 照片 图片 圖片".split()
)
"""What joins words in Japanese and Chinese, and words for "picture"."""
_SHORT = 1
"""Characters of a word that is taken for itself only, not for a piece of another: 狗 in 海狗 is no dog."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A row of the table."""

    language: str
    word: str
    tag: str
    source: str


def load_translations(path: Path = DATA / "translations.tsv") -> tuple[Translation, ...]:
    """Load the table."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return tuple(Translation(*row) for row in rows)


def names_in(language: str, rows: Iterable[Translation]) -> dict[str, str]:
    """Choose the word of a language by which each tag or group is shown: the first of the table. -> tag -> word"""
    names: dict[str, str] = {}
    for row in rows:
        if row.language == language:
            names.setdefault(row.tag, row.word)
    return names


def plain(text: str) -> str:
    """Put a text in the form that words are compared in: lower case, whole-width, hiragana, emoji without variants."""
    lowered = unicodedata.normalize("NFKC", text).casefold().translate(_LIGATURES).translate(_HIRAGANA)
    return _VARIANTS.sub("", unicodedata.normalize("NFC", lowered))


def without_accents(text: str) -> str:
    """Drop the accents of Latin letters from a plain text."""
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text)))


class Translations:
    """Lookup of words of other languages: word -> the tags or groups that it stands for."""

    def __init__(self, rows: Iterable[Translation]) -> None:
        self._exact: dict[str, tuple[str, ...]] = {}
        self._by_language: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
        emoji = []
        found: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            word = " ".join(plain(row.word).replace("-", " ").split())
            keys = {word, without_accents(word)}
            if row.language == "de":
                keys.add(word.translate(_TYPED_UMLAUTS))
            if row.language == "ko":
                keys.add(word.replace(" ", ""))
            if row.language == EMOJI:
                emoji.append(word)
            else:
                singulars = self._by_language[row.language]
                if row.language == "de":
                    singulars |= {word: row.tag, word.translate(_TYPED_UMLAUTS): row.tag}
                else:
                    singulars[without_accents(word)] = row.tag
            for key in keys:
                found[key].append(row.tag)
        self._exact = {word: tuple(dict.fromkeys(tags)) for word, tags in found.items()}
        self.emoji = re.compile("|".join(map(re.escape, sorted(emoji, key=len, reverse=True)))) if emoji else None
        """Pattern of the known emoji, or None."""
        self._longest = max(map(len, self._exact), default=0)
        self.longest_phrase = max((len(word.split()) for word in self._exact), default=1)
        """Words of the longest phrase."""

    @property
    def latin_words(self) -> frozenset[str]:
        """All words of phrases in Latin letters, without accents."""
        return frozenset(
            word for phrase in self._exact if phrase.isascii() for word in re.findall(r"[a-z]{2,}", phrase)
        )

    def find(self, phrase: str) -> tuple[str, ...]:
        """Look up the tags of a plain phrase, in the singular or the plural; empty where it is unknown."""
        if not phrase.strip():
            return ()
        if tags := self._exact.get(phrase) or self._exact.get(without_accents(phrase)):
            return tags
        if _HANGUL.search(phrase):
            return self._without_particle(phrase)
        for language, singulars in _SINGULARS.items():
            known = self._by_language[language]
            for candidate in singulars(phrase):
                if candidate in known:
                    return (known[candidate],)
        return ()

    def split(self, word: str) -> list[str]:
        """Split a Japanese or Chinese word into known ones, longest first; other words stay whole.

        Known words of one character count only where known ones cover the whole and no two of one character meet:
        牛肉 is neither 牛 nor 肉. What is between known words stays as it is.
        """
        if not _CJK.search(word) or word in self._exact:
            return [word]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                if word[start:end] in self._exact or word[start:end] in _LINKS:
                    break
            else:
                end = start + 1
            pieces.append(word[start:end])
            start = end
        if not any(piece in self._exact for piece in pieces):
            return [word]
        covered = all(piece in self._exact or piece in _LINKS for piece in pieces) and not any(
            len(one) == len(two) == _SHORT and not _LINKS.intersection((one, two)) for one, two in pairwise(pieces)
        )
        return [
            piece
            for piece in _joined(pieces, lambda piece: piece in self._exact and (covered or len(piece) > _SHORT))
            if piece not in _LINKS
        ]

    def _without_particle(self, word: str) -> tuple[str, ...]:
        for particle in _PARTICLES:
            stem = word.removesuffix(particle)
            if stem != word and stem in self._exact:
                return self._exact[stem]
        return ()


def _joined(pieces: Iterable[str], is_word: Callable[[str], bool]) -> list[str]:
    """Join neighbouring pieces that are no words."""
    joined: list[tuple[str, bool]] = []
    for piece in pieces:
        known = is_word(piece) or piece in _LINKS
        if joined and not known and not joined[-1][1]:
            joined[-1] = (joined[-1][0] + piece, False)
        else:
            joined.append((piece, known))
    return [piece for piece, _ in joined]


def _spanish(phrase: str) -> list[str]:
    words = without_accents(phrase).split()
    endings = (("ces", "z"), ("es", ""), ("s", ""))
    return _each_and_first(words, endings)


def _french(phrase: str) -> list[str]:
    words = [re.sub(r"^(?:[ldjnmtsc]|qu)'(?=.{2})", "", word) for word in without_accents(phrase).split()]
    return [" ".join(words), *_each_and_first(words, (("aux", "al"), ("x", ""), ("s", "")))]


def _german(phrase: str) -> list[str]:
    words = phrase.split()
    found = []
    for ending in ("n", "en", "nen", "e", "er", "ern", "s", "es", "se"):
        stem = _ended(words[-1], ending, "")
        if stem is not None:
            forms = (stem, stem.translate(_UMLAUTS), re.sub("([aou])e", r"\1", stem))
            found += [" ".join([*words[:-1], form]) for form in forms]
    return [*found, " ".join([*words[:-1], words[-1].translate(_UMLAUTS)])]


def _each_and_first(words: list[str], endings: Iterable[tuple[str, str]]) -> list[str]:
    """Candidates for the singular of a phrase: every word changed, or the first alone."""
    found = []
    for plural, singular in endings:
        changed = [_ended(word, plural, singular) or word for word in words]
        found += [" ".join(changed), " ".join([*changed[:1], *words[1:]])]
    return [candidate for candidate in found if candidate != " ".join(words)]


def _ended(word: str, plural: str, singular: str) -> str | None:
    """Put another ending on a word; None where it has not the first one or little before it."""
    return word.removesuffix(plural) + singular if word.endswith(plural) and len(word) > len(plural) + 1 else None


_SINGULARS: Mapping[str, Callable[[str], list[str]]] = {"de": _german, "fr": _french, "es": _spanish}
"""Candidates for the singular of a phrase, by language."""
