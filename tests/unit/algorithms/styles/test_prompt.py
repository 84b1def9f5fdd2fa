"""Prompts of styles around a subject, whatever its description says, and working sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.images.resizing import working_size
from deployments.algorithms.styles.prompt import MAX_SUBJECT, UNKNOWN_SUBJECT, clean_subject, plain_prompt, write_prompt


def test_the_subject_of_a_prompt_stands_where_the_style_wants_it() -> None:
    assert write_prompt("oil painting of {subject}, thick", "a cat") == "oil painting of a cat, thick"


def test_a_prompt_without_a_subject_still_makes_sense() -> None:
    assert write_prompt("oil painting of {subject}") == f"oil painting of {UNKNOWN_SUBJECT}"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('"A cat on a wall."\n', "A cat on a wall"),
        ("a cat <lora:x:9> ((huge))", "a cat lora x 9 huge"),
        ("*a man\n\n in a [red|blue] hat*", "a man in a red blue hat"),
        ("()", ""),
    ],
)
def test_a_description_of_an_image_becomes_plain_words(said: str, kept: str) -> None:
    assert clean_subject(said) == kept


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [
        ("a cat, ((masterpiece)), (worst quality, low quality:1.4)", "a cat, masterpiece, worst quality, low quality"),
        ("ink <lora:ink:0.8>\n lines", "ink lines"),
        ("a BREAK b", "a, b"),
        (r"a \(small\) cat", "a (small) cat"),
        ("", ""),
    ],
)
def test_models_that_read_sentences_get_prompts_without_weights(prompt: str, plain: str) -> None:
    assert plain_prompt(prompt) == plain


@given(st.text(max_size=1000))
def test_no_description_of_an_image_can_weigh_or_load_anything(said: str) -> None:
    subject = clean_subject(said)
    assert not set("<>(){}[]|\\:\n") & set(subject)
    assert len(subject) <= MAX_SUBJECT


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(64 * 64, 1024 * 1024))
def test_the_working_size_has_the_budget_and_the_shape_of_the_image(width: int, height: int, pixels: int) -> None:
    made_width, made_height = working_size(width, height, pixels)
    assert made_width % 8 == made_height % 8 == 0
    if max(width / height, height / width) < 4:
        assert 0.75 < made_width * made_height / pixels < 1.3
        assert abs(made_width * height / (made_height * width) - 1) < 0.3
