"""Search of what is written in images: which say the words of a query, and the line that does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.algorithms.tags.queries import STOP_WORDS
from deployments.algorithms.texts.words import comparable, quote, says
from serve_app.store.repositories import texts
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


async def find_written(session: AsyncSession, user_id: str, wanted: str) -> dict[str, Written]:
    """Find what the user's images say of what was asked for, by image id. Their pages are not kept."""
    found: dict[str, Written] = {}
    async for some in texts.find_images(session, user_id, asked_words(wanted)):
        found |= await asyncio.to_thread(judge_written, wanted, some)
    return found


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
