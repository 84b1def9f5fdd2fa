"""LoRA tags, comments, saved styles and AND in prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.prompts.composition import split_parts
from deployments.algorithms.a1111.prompts.extra_networks import (
    MAX_PROMPT_CHARS,
    extract_networks,
    merge_styles,
    strip_comments,
)
from deployments.contracts.diffusion import Lora
from deployments.errors import InvalidRequest


@pytest.mark.parametrize(
    ("tag", "lora"),
    [
        ("<lora:a>", Lora("a", 1.0, 1.0)),
        ("<lora:a:0.5>", Lora("a", 0.5, 0.5)),
        ("<lora:a:0.5:0.8>", Lora("a", 0.5, 0.8)),
        ("<lora:a:0.5:0.8:16>", Lora("a", 0.5, 0.8)),
        ("<lora:a:te=0.5>", Lora("a", 0.5, 0.5)),
        ("<lora:a:unet=0.2>", Lora("a", 1.0, 0.2)),
        ("<lora:a:te=0.3:unet=0.2:dyn=4>", Lora("a", 0.3, 0.2)),
        ("<lora:a:0.7:te=0.3>", Lora("a", 0.3, 0.3)),
        ("<lyco:a:-1>", Lora("a", -1.0, -1.0)),
        ("<lora:a b.c-d:1.1>", Lora("a b.c-d", 1.1, 1.1)),
    ],
)
def test_lora_tags_name_a_file_and_two_weights(tag: str, lora: Lora) -> None:
    found = extract_networks(f"girl, {tag} smiling")
    assert found.loras == (lora,)
    assert found.text == "girl,  smiling"
    assert not found.ignored


@pytest.mark.parametrize(
    "tag", ["<hypernet:a:1>", "<lora:a:much>", "<lora::1>", "<lora:a:nan>", "<lora:a:inf>", "<x:y>", "<lora:te=1>"]
)
def test_unknown_network_tags_are_taken_out_and_named(tag: str) -> None:
    found = extract_networks(f"a{tag}b")
    assert (found.text, found.loras, found.ignored) == ("ab", (), (tag,))


@pytest.mark.parametrize("text", ["a < b", "<lora:", "<lora:a", "<lora>", "<a b:c>", "<:a>", "<lora:>", "1 > 0"])
def test_text_that_is_no_network_tag_stays(text: str) -> None:
    found = extract_networks(text)
    assert (found.text, found.loras) == (text, ())


def test_a_repeated_lora_adds_up() -> None:
    found = extract_networks("<lora:a:0.5><lora:b:1><lora:a:0.25:1>")
    assert found.loras == (Lora("a", 0.75, 1.5), Lora("b", 1.0, 1.0))


@pytest.mark.parametrize("text", ["<a:" * 33_000, "<lora:a:1>" * 10_000, "<" * 100_000, "<" + "w" * 100_000])
def test_hostile_network_tags_take_linear_time(text: str) -> None:
    assert len(extract_networks(text).text) <= len(text)


@given(st.text(alphabet="<>lora:1.=te ", max_size=60))
def test_no_network_tag_is_left_once_they_are_out(text: str) -> None:
    found = extract_networks(text)
    assert len(found.text) <= len(text)
    if not found.loras and not found.ignored:
        assert found.text == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a cat", "a cat"),
        ("a cat # black", "a cat "),
        ("# all of it", ""),
        ("a\n# note\nb", "a\nb"),
        ("a # x\nb # y", "a \nb "),
    ],
)
def test_prompt_comments_end_with_their_line(text: str, kept: str) -> None:
    assert strip_comments(text) == kept


@pytest.mark.parametrize(
    ("prompt", "styles", "merged"),
    [
        ("cat", [], "cat"),
        ("cat", ["oil painting"], "cat, oil painting"),
        ("cat", ["a painting of {prompt}, oil"], "a painting of cat, oil"),
        ("", ["oil painting"], "oil painting"),
        ("cat ", [" oil", "old {prompt}"], "old cat, oil"),
        ("cat", [""], "cat"),
    ],
)
def test_saved_styles_hold_the_prompt_or_follow_it(prompt: str, styles: list[str], merged: str) -> None:
    assert merge_styles(prompt, styles) == merged


def test_saved_styles_that_double_the_prompt_are_stopped() -> None:
    with pytest.raises(InvalidRequest):
        merge_styles("a" * 100, ["{prompt}{prompt}"] * 64)
    assert len(merge_styles("a" * 100, ["{prompt}{prompt}"] * 9)) <= MAX_PROMPT_CHARS


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("", [("", 1.0)]),
        ("a cat", [("a cat", 1.0)]),
        ("a AND b:0.5", [("a", 1.0), ("b", 0.5)]),
        ("a :1.2 AND b : -1", [("a", 1.2), ("b", -1.0)]),
        ("(a AND b:1.2)", [("(a", 1.0), ("b:1.2)", 1.0)]),
        ("a cat:0.8", [("a cat", 0.8)]),
        ("ratio 16:9x", [("ratio 16:9x", 1.0)]),
        ("SAND AND ANDY", [("SAND", 1.0), ("ANDY", 1.0)]),
        ("a AND_PERP b", [("a AND_PERP b", 1.0)]),
        ("a and b", [("a and b", 1.0)]),
        ("a AND", [("a", 1.0), ("", 1.0)]),
    ],
)
def test_and_splits_conditions_with_weights(prompt: str, parts: list[tuple[str, float]]) -> None:
    assert split_parts(prompt) == parts


def test_a_huge_weight_of_a_prompt_part_is_text() -> None:
    text = "a:" + "9" * 100_000
    assert split_parts(text) == [(text, 1.0)]
