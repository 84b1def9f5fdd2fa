"""Whether what a server holds grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.faults.growth import growth_of


@given(slope=st.floats(-100.0, 100.0), level=st.floats(500.0, 5000.0), count=st.integers(8, 60))
def test_the_slope_of_a_straight_line_is_found(slope: float, level: float, count: int) -> None:
    growth = growth_of("memory", [(place / 12, level + slope * place / 12) for place in range(count)])
    assert growth.slope == pytest.approx(slope, abs=1e-6)


@given(peak=st.floats(0.0, 1e6), place=st.integers(20, 39))
def test_a_single_peak_is_no_growth(peak: float, place: int) -> None:
    series = [(number / 12, 1000.0 + (peak if number == place else 0.0)) for number in range(40)]
    assert growth_of("memory", series).grown == pytest.approx(0.0, abs=1e-6)


def test_a_leak_of_a_file_a_second_is_over_the_bound() -> None:
    growth = growth_of("open files", [(second / 60, 500.0 + second) for second in range(0, 240, 5)])
    assert growth.grown > growth.bound


def test_what_fills_up_at_the_beginning_is_no_growth() -> None:
    series = [(number / 12, 1000.0 * min(1.0, number / 10)) for number in range(40)]
    growth = growth_of("memory", series)
    assert growth.grown <= growth.bound


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few samples of memory"):
        growth_of("memory", [(0.0, 1.0)])
