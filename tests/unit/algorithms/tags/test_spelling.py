"""Correction of misspelt words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.tags.spelling import Spelling, load_real_words
from deployments.algorithms.tags.vocabulary import load_tags

ENGLISH = ("dog", "cat", "elephant", "umbrella", "banana", "lake", "kitchen", "coffee")
SPELLING = Spelling(ENGLISH, ("banane", "coffre", "perro"), frozenset({"cake", "lakes"}))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("dgo", "dog"), ("elephnat", "elephant"), ("lephant", "elephant"),
        ("umbrela", "umbrella"), ("kichen", "kitchen"), ("perrro", "perro"), ("ktichen", "kitchen"),
    ],
)  # fmt: skip
def test_a_misspelt_word_is_corrected(typed: str, meant: str) -> None:
    assert SPELLING.nearest(typed) == (meant,)


@pytest.mark.parametrize("word", ["cake", "lakes", "dig", "cot", "zyzzyva", "d", "", "do9", "chat", "été", "犬"])
def test_a_right_word_a_short_one_and_one_that_is_near_nothing_stay(word: str) -> None:
    assert SPELLING.nearest(word) == ()


def test_english_goes_before_other_languages() -> None:
    assert SPELLING.nearest("coffe") == ("coffee",)
    assert SPELLING.nearest("banan") == ("banana",)


def test_several_words_that_are_equally_near_are_all_named() -> None:
    assert Spelling(("seals", "seats"), ()).nearest("seaxs") == ("seals", "seats")


@pytest.mark.parametrize("word", ["cake", "giraffe", "dolphin", "kuchen", "gateau", "mouse", "date", "torte"])
def test_real_words_of_four_languages_are_listed_where_they_are_near_a_known_one(word: str) -> None:
    known = {word for tag in load_tags() for phrase in (tag.name, *tag.words) for word in phrase.split()}
    spelling = Spelling(known, (), load_real_words())
    assert word in known or spelling.nearest(word) == ()


@given(st.text(max_size=20))
def test_any_text_has_corrections_or_none(text: str) -> None:
    assert set(SPELLING.nearest(text)) <= {*ENGLISH, "banane", "coffre", "perro"}


@given(st.sampled_from([word for word in ENGLISH if len(word) > 5]), st.data())
def test_two_letters_swapped_are_put_right(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word) - 2))
    typed = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    assert SPELLING.nearest(typed) == (word,)
