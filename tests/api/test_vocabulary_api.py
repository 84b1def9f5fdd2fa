"""Words of other languages for the tags of the vocabulary."""

from __future__ import annotations

import httpx
import pytest

from deployments.algorithms.tags.translations import LANGUAGES
from deployments.algorithms.tags.vocabulary import load_tags
from tests.api.conftest import assert_problem

VOCABULARY = "/api/v1/vocabulary"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_tag_has_a_word_in_every_language(idle_client: httpx.AsyncClient, language: str) -> None:
    answer = await idle_client.get(VOCABULARY, params={"language": language})
    words = answer.json()["words"]
    assert [tag.name for tag in load_tags() if not words.get(tag.name)] == []


async def test_the_usual_word_is_chosen(idle_client: httpx.AsyncClient) -> None:
    words = (await idle_client.get(VOCABULARY, params={"language": "ko"})).json()["words"]
    assert [words[tag] for tag in ("dog", "cat", "portrait", "beach")] == ["개", "고양이", "인물 사진", "해변"]


@pytest.mark.parametrize("language", ["en", "xx", ""])
async def test_a_language_that_is_not_known_is_refused(idle_client: httpx.AsyncClient, language: str) -> None:
    assert_problem(await idle_client.get(VOCABULARY, params={"language": language}), 422)
