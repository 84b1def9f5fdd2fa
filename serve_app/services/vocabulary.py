"""The words by which people of other languages know the tags of the vocabulary."""

from __future__ import annotations

from functools import cache

from pydantic import BaseModel, Field

from deployments.algorithms.tags.translations import load_translations, names_in


class TagWords(BaseModel):
    """The word of a language for each tag and group of the vocabulary. Tags of your own are in none."""

    language: str = Field(description="ISO 639-1", examples=["ko"])
    words: dict[str, str] = Field(description="by tag", examples=[{"dog": "개", "cat": "고양이"}])


@cache
def tag_words(language: str) -> TagWords:
    """Choose the words of a language."""
    return TagWords(language=language, words=names_in(language, load_translations()))
