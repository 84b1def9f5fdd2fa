"""Attention weights in prompts."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.prompts.attention import MAX_WEIGHT, Stretch, parse_attention

SYNTAX = st.text(alphabet="ab ,:.12()[]\\|BREAK\n-+", max_size=80)


@pytest.mark.parametrize(
    ("text", "stretches"),
    [
        ("", [("", 1.0)]),
        ("a cat", [("a cat", 1.0)]),
        ("a (cat) b", [("a ", 1.0), ("cat", 1.1), (" b", 1.0)]),
        ("((x))", [("x", 1.21)]),
        ("(x:1.2)", [("x", 1.2)]),
        ("(x: 1.2 )", [("x", 1.2)]),
        ("((x:1.2))", [("x", 1.32)]),
        ("[x]", [("x", 1 / 1.1)]),
        ("[[x]]", [("x", 1 / 1.21)]),
        ("(a (b:1.3) c:1.1)", [("a ", 1.1), ("b", 1.43), (" c", 1.1)]),
        (r"\(lit\)", [("(lit)", 1.0)]),
        (r"\[ \] \\", [("[ ] \\", 1.0)]),
        (r"a\b", [("ab", 1.0)]),
        ("(a:1.2", [("a:1.2", 1.1)]),
        ("[a", [("a", 1 / 1.1)]),
        ("a) b]", [("a) b]", 1.0)]),
        ("a:1.2)", [("a:1.2)", 1.0)]),
        ("(a:0)", [("a", 0.0)]),
        ("(a:-1)", [("a", -1.0)]),
        ("(a:+.5)", [("a", 0.5)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("a BREAK b", [("a", 1.0), ("BREAK", -1.0), ("b", 1.0)]),
        ("(a BREAK b:1.3)", [("a", 1.3), ("BREAK", -1.3), ("b", 1.3)]),
        ("aBREAK BREAKb", [("aBREAK BREAKb", 1.0)]),
        ("([a) b]", [("a", 1.0), (" b", 1 / 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                *[("a ", 1.0), ("house", 1.573), (" ", 1.1), ("on", 1.0), (" a ", 1.1), ("hill", 0.55)],
                *[(", sun, ", 1.1), ("sky", 1.4641), (".", 1.1)],
            ],
        ),
    ],
)
def test_brackets_weigh_a_prompt_as_upstream_has_it(text: str, stretches: list[tuple[str, float]]) -> None:
    assert parse_attention(text) == [(piece, pytest.approx(weight)) for piece, weight in stretches]


@pytest.mark.parametrize(
    ("text", "breaks"),
    [("a BREAK b", 1), ("BREAK BREAK", 2), ("(a BREAK b)", 0), ("[BREAK]", 0), ("(BREAK:1.0)", 1), ("break", 0)],
)
def test_only_an_unweighted_break_ends_a_chunk(text: str, breaks: int) -> None:
    assert sum(stretch.is_break for stretch in parse_attention(text)) == breaks


@given(SYNTAX)
def test_neighbouring_stretches_differ_in_weight_and_weights_are_finite(text: str) -> None:
    stretches = parse_attention(text)
    assert stretches
    assert all(one.weight != other.weight for one, other in pairwise(stretches))
    assert all(math.isfinite(stretch.weight) for stretch in stretches)


@given(st.text(alphabet="abc ,.;-", max_size=60))
def test_a_prompt_without_syntax_comes_back_as_it_is(text: str) -> None:
    assert parse_attention(text) == [Stretch(text, 1.0)]


@given(st.text(alphabet="ab()[]\\", max_size=40))
def test_an_escaped_prompt_is_literal(text: str) -> None:
    escaped = "".join(f"\\{letter}" if letter in "()[]\\" else letter for letter in text)
    assert parse_attention(escaped) == [Stretch(text, 1.0)]


@given(SYNTAX)
def test_attention_weights_are_products_of_the_brackets_around(text: str) -> None:
    """Against the plain way: every bracket multiplies all that it holds, one after the other."""
    plain = _multiply_one_by_one(text)
    fast = [(letter, stretch.weight) for stretch in parse_attention(text) for letter in stretch.text]
    assert [letter for letter, _ in fast] == [letter for letter, _ in plain]
    for (_, one), (_, other) in zip(fast, plain, strict=True):
        assert one == pytest.approx(max(-MAX_WEIGHT, min(MAX_WEIGHT, other)))


@pytest.mark.parametrize(
    "text",
    [
        *["(" * 100_000, "(a" * 50_000, "(" * 50_000 + "a" + ")" * 50_000, "[(a" * 30_000, " " * 100_000],
        *[":" * 100_000, ":1" * 50_000, "(a:" + "9" * 100_000, "(a:" + "9" * 99_990 + ")", "\\" * 100_000],
        *["BREAK " * 16_000, "(a:" + " " * 99_000 + "1" + " " * 900, "(((a:0)" + ")" * 50_000, "(" * 99_000 + "(a:0)"],
    ],
    ids=range(14),
)
def test_hostile_brackets_are_read_in_linear_time_to_finite_weights(text: str) -> None:
    assert all(math.isfinite(stretch.weight) for stretch in parse_attention(text))


def _multiply_one_by_one(text: str) -> list[tuple[str, float]]:
    letters: list[list[str | float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def close(bracket: str, factor: float) -> None:
        for item in letters[opened[bracket].pop() :]:
            item[1] = float(item[1]) * factor

    position = 0
    while position < len(text):
        letter = text[position]
        weight = re.compile(r":\s*([+-]?[.\d]+)\s*\)").match(text, position)
        if letter == "\\":
            if text[position + 1 : position + 2] and text[position + 1] in "()[]\\":
                position += 1
                letters.append([text[position], 1.0])
        elif letter in "([":
            opened[letter].append(len(letters))
        elif weight and opened["("]:
            try:
                factor = float(weight[1])
            except ValueError:
                letters += [[kept, 1.0] for kept in weight[0][:-1]]
                factor = 1.1
            close("(", factor)
            position = weight.end() - 1
        elif letter == ")" and opened["("]:
            close("(", 1.1)
        elif letter == "]" and opened["["]:
            close("[", 1 / 1.1)
        else:
            piece = (weight or re.compile(r"[:)\]]|[^\\()\[\]:]+").match(text, position) or [""])[0]
            for place, word in enumerate(re.split(r"\s*\bBREAK\b\s*", piece)):
                letters += [[kept, -1.0] for kept in "BREAK" * bool(place)] + [[kept, 1.0] for kept in word]
            position += len(piece) - 1
        position += 1
    for bracket, factor in (("(", 1.1), ("[", 1 / 1.1)):
        while opened[bracket]:
            close(bracket, factor)
    return [(str(letter), float(value)) for letter, value in letters]
