"""Line charts as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bench.faults.svg import _ticks, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_has_a_line_for_each_series_with_higher_values_further_up() -> None:
    chart = ElementTree.fromstring(line_chart("a < b", "x", "s", {"p50": [(1, 1), (2, 3)], "p99": [(1, 5)]}))
    first, second = (line.get("points", "") for line in chart.iter(f"{SVG}polyline"))
    (_, low), (_, high) = (map(float, point.split(",")) for point in first.split())
    [(_, highest)] = [map(float, point.split(",")) for point in second.split()]
    assert low > high > highest > 0
    assert "a < b" in [text.text for text in chart.iter(f"{SVG}text")]


def test_a_chart_without_points_is_a_chart() -> None:
    assert ElementTree.fromstring(line_chart("none", "x", "y", {"nothing": []})).tag == f"{SVG}svg"


@given(st.floats(0.001, 1e7))
def test_axes_have_three_to_six_round_numbers(end: float) -> None:
    ticks = _ticks(end)
    assert 3 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert ticks[-1] <= end
    assert f"{ticks[1]:e}"[0] in "125"
