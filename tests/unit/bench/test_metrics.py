"""Scores that `make eval` reports, on cases worked out by hand."""

import pytest

from bench.quality.metrics import bcubed, normalised_tag, pairs_of, pairwise

LABELS = {"a": 1, "b": 1, "c": 2, "d": 3}


def test_a_perfect_grouping_scores_one() -> None:
    clusters = {"a": {"x"}, "b": {"x"}, "c": {"y"}}
    assert bcubed(LABELS, clusters).f == 1
    assert pairwise(LABELS, clusters).f == 1


def test_single_items_keep_precision_and_lose_recall() -> None:
    assert bcubed(LABELS, {}).precision == 1
    assert bcubed(LABELS, {}).recall == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)
    assert pairwise(LABELS, {}).recall == 0


def test_one_cluster_for_all_loses_precision() -> None:
    clusters = {item: {"x"} for item in LABELS}
    assert bcubed(LABELS, clusters).precision == pytest.approx((0.5 + 0.5 + 0.25 + 0.25) / 4)
    assert bcubed(LABELS, clusters).recall == 1
    assert pairwise(LABELS, clusters).precision == pytest.approx(1 / 6)


def test_an_item_in_many_clusters_cannot_look_better_for_it() -> None:
    once = {"a": {"x"}, "b": {"x"}, "c": {"y"}}
    twice = once | {"c": {"y", "x"}}
    assert bcubed(LABELS, twice).f < bcubed(LABELS, once).f


def test_pairs_of_a_group_are_counted_once() -> None:
    assert pairs_of([["a", "b", "a"], ["c"]]) == {frozenset("ab")}


@pytest.mark.parametrize(
    ("tag", "same"),
    [("Dogs", "dog"), ("ice_cream", "ice cream"), ("beaches", "beach"), ("bus", "bus"), ("glass", "glass")],
)
def test_spellings_of_one_tag_are_the_same(tag: str, same: str) -> None:
    assert normalised_tag(tag) == same
