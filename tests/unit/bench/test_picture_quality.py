"""Pairs of damaged photographs, and who of them must win."""

from __future__ import annotations

import numpy as np
import pytest

from bench.quality.damages import KINDS, LEVELS, damage, to_full_range
from bench.quality.picture_quality import UNLIKE, Damaged, judge
from deployments.algorithms.duplicates.groups import Member
from tests.support.builders import a_photo


def _version(kind: str, level: int, score: float) -> Damaged:
    member = Member(f"{kind} {level}", 100, 100, 5000, "image/jpeg", quality=score)
    return Damaged(kind, level, score, member)


@pytest.mark.parametrize(("worse", "right"), [(0.4, True), (0.5, False), (0.6, False)])
def test_the_less_damaged_must_score_higher_and_a_tie_is_wrong(worse: float, right: bool) -> None:
    assert ("noisy", "noisy 1 / noisy 2", right) in set(judge([_version("noisy", 1, 0.5), _version("noisy", 2, worse)]))


def test_unlike_kinds_are_compared_only_where_their_strengths_are() -> None:
    versions = [_version("noisy", 1, 0.5), _version("blurred", 2, 0.4), _version("moved", 3, 0.3)]
    assert {name for row, name, _ in judge(versions) if row == UNLIKE} == {"noisy 1 / moved 3"}


def test_the_undamaged_file_is_the_one_to_keep() -> None:
    rows = list(judge([_version("noisy", 0, 0.9), _version("noisy", 1, 0.5)]))
    assert ("kept: noisy", "noisy 0 / noisy 1", True) in rows


@pytest.mark.parametrize("kind", KINDS)
def test_each_strength_of_a_damage_lies_further_from_the_photograph(kind: str) -> None:
    photo = to_full_range(a_photo("coffee"))
    made = [damage(kind, photo, level, np.random.default_rng(0)).astype(float) for level in LEVELS]
    errors = [float(np.abs(image - made[0]).mean()) for image in made]
    assert errors == sorted(set(errors))


def test_a_dark_photograph_is_exposed_to_its_full_range_and_a_light_one_is_left() -> None:
    photo = a_photo("coffee")
    full = to_full_range((photo * 0.6).astype(np.uint8))
    assert np.percentile(full.max(axis=2), 98) == pytest.approx(245, abs=6)
    assert np.abs(to_full_range(full).astype(int) - full).mean() < 3
