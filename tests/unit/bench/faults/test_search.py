"""The highest clean rate: found by doubling and bisection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.faults.journal import Answer
from bench.faults.search import Step, highest_clean, step_of


def answers(*statuses: str, seconds: float = 0.1, says_when: bool = True) -> list[Answer]:
    return [Answer(0.0, 0, "file", status, seconds, says_when) for status in statuses]


def server_with_capacity(most: float, rate: float) -> Step:
    """A server whose answers take long beyond a rate."""
    return step_of(rate, answers("200", seconds=0.1 if rate <= most else 9.0))


@given(most=st.floats(2.0, 500.0), bisections=st.integers(0, 6))
def test_the_search_ends_just_below_what_the_server_takes(most: float, bisections: int) -> None:
    clean, steps = highest_clean(lambda rate: server_with_capacity(most, rate), 2.0, 2.0, bisections)
    assert clean.rate <= most
    too_high = min(step.rate for step in steps if not step.is_clean(2.0))
    assert most < too_high
    doubled = max(step.rate for step in steps) / 2
    assert too_high - clean.rate <= doubled / 2**bisections + 1e-9


def test_a_server_that_fails_at_the_first_rate_has_no_clean_one() -> None:
    with pytest.raises(ValueError, match="2 calls a second are not clean"):
        highest_clean(lambda rate: step_of(rate, answers("500")), 2.0, 2.0, 3)


@pytest.mark.parametrize("status", ["500", "503", "429", "404", "broken", "silent"])
def test_a_step_with_an_answer_that_is_no_success_is_not_clean(status: str) -> None:
    assert not step_of(1.0, answers("200", status, says_when=True)).is_clean(2.0)


def test_a_refusal_that_says_when_is_no_error() -> None:
    step = step_of(1.0, answers("200", "429"))
    assert (step.errors, step.refused) == (0, 1)


def test_a_refusal_that_does_not_say_when_is_an_error() -> None:
    step = step_of(1.0, answers("200", "429", says_when=False))
    assert (step.errors, step.refused) == (1, 0)
