"""Figures of tags against labels."""

from __future__ import annotations

import numpy as np

from bench.quality.tagging import Picture, score, with_wider_tags


def picture(*true: str) -> Picture:
    return Picture("p.jpg", "other", frozenset(true), np.zeros((7, 1), np.float32), {})


def test_a_wider_tag_of_a_right_one_is_right() -> None:
    wider = with_wider_tags(frozenset({"car"}))
    assert {"car", "vehicle"} <= wider
    assert "truck" not in wider


def test_a_label_that_is_no_tag_has_no_wider_ones() -> None:
    assert with_wider_tags(frozenset({"sky"})) == {"sky"}


def test_precision_counts_tags_of_the_sets_labels_and_that_of_all_tags_counts_all() -> None:
    found = score([{"dog": 0.9, "cat": 0.8, "sofa": 0.7}, {}], [picture("dog"), picture("tree")], {"dog", "cat"})
    assert (found.right, found.precision, found.precision_all, found.given) == (0.5, 0.5, 1 / 3, 1.5)


def test_no_tag_given_is_no_wrong_one() -> None:
    found = score([{}], [picture("dog")], {"dog"})
    assert (found.right, found.precision, found.precision_all) == (0.0, 1.0, 1.0)


def test_a_wider_tag_is_right_but_not_as_labelled() -> None:
    found = score([{"vehicle": 0.9}], [picture("car")], {"car"})
    assert (found.right, found.right_as_labelled) == (1.0, 0.0)
