"""Names of textual inversions in prompts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.prompts.textual_inversion import find_missing, find_named


@pytest.mark.parametrize(
    "text",
    ["easynegative, bad", "(EasyNegative:1.2)", "[from:easynegative:0.5]", "a\neasynegative", "BREAK,easynegative"],
)
def test_a_name_is_found_as_a_word_in_any_case(text: str) -> None:
    assert find_named(text, ["EasyNegative", "other"]) == ["EasyNegative"]


def test_a_part_of_a_word_is_no_name() -> None:
    assert find_named("easynegativeV2, uneasynegative", ["easynegative"]) == []


@pytest.mark.parametrize(
    "word",
    ["easynegative", "EasyNegativeV2", "ng_deepnegative_v1_75t", "bad-hands-5", "badhandv4",
     "verybadimagenegative_v1.3",
     "bad_prompt_version2", "negative_hand-neg", "my_style_v3", "charturnerv2"],
)  # fmt: skip
def test_a_word_that_looks_like_a_missing_one_is_told(word: str) -> None:
    assert find_missing(f"worst quality, ({word}:1.1), blurry", []) == [word]
    assert find_missing(f"worst quality, ({word}:1.1), blurry", [word.lower()]) == []


@pytest.mark.parametrize(
    "text",
    ["a photo of a cat, best quality, 8k uhd, f/1.8", "long_hair, looking_at_viewer, 1girl, v-neck",
     "tv, ov, negative space",
     "(worst quality, low quality:1.4), bad anatomy", "", "Van Gogh, art by greg rutkowski"],
)  # fmt: skip
def test_plain_words_and_tags_are_not_told(text: str) -> None:
    assert find_missing(text, []) == []


@given(st.text(st.sampled_from("av_-.1 neg"), max_size=4000))
def test_any_text_is_looked_through(text: str) -> None:
    assert all(word in text for word in find_missing(text, []))


def test_names_of_thousands_of_files_are_looked_for_in_a_long_prompt_without_a_pattern_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patterns = []
    search = re.search
    monkeypatch.setattr(re, "search", lambda pattern, *rest: patterns.append(pattern) or search(pattern, *rest))
    names = [f"embedding_{place}" for place in range(2000)]
    assert find_named("word, " * 2000 + "EMBEDDING_77", names) == ["embedding_77"]
    assert len(patterns) < 5
