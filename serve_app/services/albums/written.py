"""Search of what is written in images: which say the words of a query, and the line that does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.algorithms.tags.queries import STOP_WORDS
from deployments.algorithms.texts.words import comparable, quote, says
from serve_app.store.repositories.texts import WrittenImage

_VERBATIM = 0.85
"""Relevance of an image that says the words one after the other; a file of that name counts a little less."""
_SCATTERED = 0.65
"""Relevance of one that says each of them somewhere."""


@dataclass(frozen=True, slots=True)
class Written:
    """What an image says of what was asked for."""

    score: float
    """0 to 1."""
    line: str
    """The line that says it, or the first word of it."""


def asked_words(wanted: str) -> list[str]:
    """Words that an image must say, comparable: of several not those that say nothing by themselves."""
    words = comparable(wanted).split()
    return [word for word in words if word not in STOP_WORDS] or words


def judge_written(wanted: str, candidates: Sequence[WrittenImage]) -> dict[str, Written]:
    """Judge images in which each of the asked words is written, in whatever place. -> what they say, by image id"""
    whole, words = comparable(wanted), asked_words(wanted)
    found: dict[str, Written] = {}
    for image in candidates:
        if says(image.words, whole):
            found[image.image_id] = Written(_VERBATIM, quote(image.page, whole))
        elif all(says(image.words, word) for word in words):
            found[image.image_id] = Written(_SCATTERED, quote(image.page, words[0]))
    return found
