"""Value lists of the X/Y/Z plot: commas, ranges, counts, and what is none of them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.a1111.value_lists import TooMany, expand_integers, expand_reals, split_values


def integers(text: str, most: int = 100) -> list[int]:
    return expand_integers(split_values(text, most), most)


def reals(text: str, most: int = 100) -> list[float]:
    return [round(value, 6) for value in expand_reals(split_values(text, most), most)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1, 2,3", [1, 2, 3]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("1-9 (+3)", [1, 4, 7]),
        ("9-1 (-4)", [9, 5, 1]),
        ("5-1", []),
        ("1-10 [4]", [1, 4, 7, 10]),
        ("0-10 [3], 7", [0, 5, 10, 7]),
        ("-1", [-1]),
        ("-2-1", [-2, -1, 0, 1]),
        ("9007199254740993", [9007199254740993]),
        ("", []),
    ],
)
def test_integers_are_read_with_their_ranges_and_counts(text: str, expected: list[int]) -> None:
    assert integers(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1-0.4 (+0.1)", [0.1, 0.2, 0.3, 0.4]),
        ("1-2 [5]", [1, 1.25, 1.5, 1.75, 2]),
        ("7.5, 8", [7.5, 8]),
        ("1e-3", [0.001]),
        ("1-2 (-0.5)", []),
    ],
)
def test_real_numbers_are_read_with_their_ranges_and_counts(text: str, expected: list[float]) -> None:
    assert reals(text) == expected


@pytest.mark.parametrize("text", ["x", "1.5", "1-2.5", "nan", "1 [5]", "1-5 (0.5)x", "1.5-2 [3]"])
def test_what_is_no_integer_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        integers(text)


@pytest.mark.parametrize("text", ["x", "nan", "inf", "1-", "--1"])
def test_what_is_no_number_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        reals(text)


@pytest.mark.parametrize("text", ["1-999999999", "1-2 [999999999]", "1-2 (+0.0000001)", "1-5 (+0)", "1,2,3,4,5,6"])
def test_more_values_than_are_wanted_are_refused_before_they_are_made(text: str) -> None:
    with pytest.raises(TooMany):
        reals(text, most=5)
    with pytest.raises((TooMany, ValueError)):
        integers(text, most=5)


def test_values_that_would_be_read_for_minutes_or_without_bound_are_refused_at_once() -> None:
    blanks = "1-" + " " * 20_000 + "x"
    for expand in (expand_reals, expand_integers):
        started = time.process_time()
        with pytest.raises(ValueError, match="too long"):
            expand([blanks], 5)
        assert time.process_time() - started < 1
    with pytest.raises(ValueError, match="too long"):
        split_values("," * 2**20, 5)


def test_a_count_never_gives_what_is_no_number() -> None:
    with pytest.raises(ValueError, match=r".+"):
        expand_reals([f"1-{'9' * 400} [3]"], 5)


def test_quotation_marks_keep_a_comma() -> None:
    assert split_values('a,"b, c", "d, e",f', 9) == ["a", "b, c", "d, e", "f"]


@given(start=st.integers(-50, 50), length=st.integers(0, 30), step=st.integers(1, 7))
def test_a_range_is_that_of_python_with_its_end(start: int, length: int, step: int) -> None:
    end = start + length
    assert integers(f"{start}-{end} (+{step})") == list(range(start, end + 1, step))
