"""Bootstrap intervals of figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quality.figures import bcubed_f, pairwise_f, rate
from bench.quality.metrics import bcubed, pairwise

_LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=14)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_the_interval_of_a_share_holds_the_share(units: list[tuple[int, int]]) -> None:
    found = rate([right for right, _ in units], [right + wrong for right, wrong in units])
    asked = sum(right + wrong for right, wrong in units)
    assert found.value == pytest.approx(sum(right for right, _ in units) / asked if asked else 1.0)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1


def test_more_units_narrow_the_interval_of_a_share_as_theory_says() -> None:
    few, many = (rate([1, 0] * half, [1] * 2 * half) for half in (10, 1000))
    assert many.high - many.low == pytest.approx(2 * 1.96 * (0.25 / 2000) ** 0.5, rel=0.1)
    assert few.high - few.low > 5 * (many.high - many.low)


def test_answers_of_one_unit_count_as_one_draw() -> None:
    together = rate([50, 0], [50, 50])
    assert (together.low, together.high) == (0, 1)


@given(_LABELS, st.lists(st.integers(0, 4), min_size=14, max_size=14))
def test_bcubed_and_pairwise_figures_are_those_of_the_metrics(labels: list[int], groups: list[int]) -> None:
    of = {str(place): label for place, label in enumerate(labels)}
    clusters = {str(place): {groups[place]} for place in range(len(labels))}
    assert bcubed_f(of, clusters).value == pytest.approx(bcubed(of, clusters).f, abs=1e-6)
    assert pairwise_f(of, clusters).value == pytest.approx(pairwise(of, clusters).f, abs=1e-6)


def test_one_split_person_among_many_widens_the_interval_of_people_to_one_side() -> None:
    of = {f"{person}/{image}": person for person in range(20) for image in range(4)}
    clusters = {item: {(person, item[-1] if person == 0 else "")} for item, person in of.items()}
    found = bcubed_f(of, clusters)
    assert found.low < found.value < found.high == 1
