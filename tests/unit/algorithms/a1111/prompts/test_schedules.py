"""Prompt schedules and alternation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.prompts.schedules import MAX_DEPTH, schedule_prompt

SYNTAX = st.text(alphabet="ab 1.:()[]|\\5", max_size=60)


@pytest.mark.parametrize(
    ("text", "steps", "schedule"),
    [
        ("test", 10, [(10, "test")]),
        ("", 10, [(10, "")]),
        ("[cat:dog:0.5]", 20, [(10, "cat"), (20, "dog")]),
        ("[cat:dog:5]", 20, [(5, "cat"), (20, "dog")]),
        ("[dog:0.3]", 20, [(6, ""), (20, "dog")]),
        ("[cat::0.7]", 20, [(14, "cat"), (20, "")]),
        ("[cat:dog:1.5]", 20, [(20, "cat")]),
        ("[cat:dog:0]", 20, [(20, "dog")]),
        ("[cat:dog:-3]", 20, [(20, "dog")]),
        ("[cat:dog:1e9]", 20, [(20, "cat")]),
        ("[a:b:5.]", 20, [(20, "a")]),
        ("a [b: 3 ]", 10, [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", 10, [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", 10, [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", 10, [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", 10, [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [unbalanced", 10, [(10, "a [unbalanced")]),
        ("a [b:.5] c", 10, [(5, "a  c"), (10, "a b c")]),
        ("((a][:b:c [d:3]", 10, [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        (r"\[a:b:3\]", 10, [(10, r"\[a:b:3\]")]),
        ("[a:b:c:3]", 10, [(10, "[a:b:c:3]")]),
        ("[x [a:b:3]: y]", 10, [(3, "[x a: y]"), (10, "[x b: y]")]),
        ("[[a:b]:c:3]", 10, [(10, "[[a:b]:c:3]")]),
        ("[a:b:x]", 10, [(10, "[a:b:x]")]),
        ("(a [b:c:3]:1.2)", 10, [(3, "(a b:1.2)"), (10, "(a c:1.2)")]),
        ("[a]", 10, [(10, "[a]")]),
        ("a | b", 10, [(10, "a | b")]),
        ("a \\", 10, [(10, "a \\")]),
    ],
)
def test_prompt_schedules_switch_where_upstream_does(text: str, steps: int, schedule: list[tuple[int, str]]) -> None:
    assert schedule_prompt(text, steps) == schedule


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("[a|(b:1.1)]", ["a", "(b:1.1)"] * 3),
        ("[fe|]male", ["female", "male"] * 3),
        ("[fe|||]male", ["female", "male", "male", "male", "female", "male"]),
        ("[a|[b:c:3]]", ["a", "b", "a", "c", "a", "c"]),
    ],
)
def test_prompt_alternation_changes_with_every_call(text: str, texts: list[str]) -> None:
    assert schedule_prompt(text, 6) == [(call, text) for call, text in enumerate(texts, 1)]


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("a [b:.5] c", [(10, "a b c")]),
        ("a [b:1.5] c", [(5, "a  c"), (10, "a b c")]),
        ("[a:b:25]", [(5, "a"), (10, "b")]),
        ("[a:b:5]", [(10, "b")]),
    ],
)
def test_prompt_schedules_of_a_second_pass_count_on_from_the_first(text: str, schedule: list[tuple[int, str]]) -> None:
    assert schedule_prompt(text, 10, first_pass_steps=20) == schedule


def test_prompt_schedules_nest_a_hundred_deep_and_no_deeper() -> None:
    nested = ["[" * depth + "a" + "|b]" * depth for depth in (MAX_DEPTH, MAX_DEPTH + 1)]
    assert len(schedule_prompt(nested[0], 4)) == 4
    assert schedule_prompt(nested[1], 4) == [(4, nested[1])]


@given(SYNTAX, st.integers(1, 30))
def test_ends_of_prompt_schedules_rise_to_the_number_of_steps(text: str, steps: int) -> None:
    ends = [until.call for until in schedule_prompt(text, steps)]
    assert ends == sorted(set(ends))
    assert ends[-1] == steps
    assert ends[0] >= 1


@given(st.text(alphabet="ab ().\\", max_size=60), st.integers(1, 30))
def test_a_prompt_without_square_brackets_has_no_schedule(text: str, steps: int) -> None:
    assert schedule_prompt(text, steps) == [(steps, text)]


@given(SYNTAX)
def test_a_scheduled_text_is_made_of_pieces_of_the_prompt(text: str) -> None:
    for until in schedule_prompt(text, 4):
        letters = iter(text)
        assert all(letter in letters for letter in until.text), "in the order of the prompt"


@pytest.mark.parametrize(
    "text",
    [
        *["[" * 100_000, "[(" * 50_000, "[" * 50_000 + "a" + "]" * 50_000, "[a:" * 20_000 + "b" + ":3]" * 20_000],
        *["[" * 30_000 + "a" + "|b]" * 20_000, "[a:b:3]" * 14_000, "[a|b]" * 20_000, "|" * 100_000, ":" * 100_000],
        *["[a:b:" + "9" * 99_000 + "]", "(]" * 50_000, "\\" * 99_999, "[a:b:" + " " * 99_000 + "x]"],
    ],
    ids=range(13),
)
def test_hostile_prompt_schedules_are_read_without_recursion_or_blow_up(text: str) -> None:
    schedule = schedule_prompt(text, 20)
    assert len(schedule) <= 20
    assert sum(len(until.text) for until in schedule) <= 20 * len(text)
