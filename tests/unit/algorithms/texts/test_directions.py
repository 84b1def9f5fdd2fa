"""Which way up lines stand: what they say together counts for more than what a short one says alone."""

from __future__ import annotations

import numpy as np

from deployments.algorithms.texts.directions import agree_on_heads, lay_along
from tests.support.pages import a_box


def corners(*boxes: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(boxes, np.float32)


def test_a_short_line_that_looks_upside_down_is_overruled_by_the_page_and_asked_about_if_it_is_sure() -> None:
    lines = corners(a_box(0, 0, 300), a_box(0, 40, 280), a_box(0, 80, 30), a_box(0, 120, 30))
    turned, doubtful = agree_on_heads(lines, np.array([0.9, 0.9, -0.95, -0.2], np.float32))
    assert turned.tolist() == [False] * 4
    assert doubtful.tolist() == [False, False, True, False]


def test_a_page_on_its_head_turns_all_of_its_lines() -> None:
    lines = corners(a_box(0, 0, 300), a_box(0, 40, 280), a_box(0, 80, 30))
    turned, doubtful = agree_on_heads(lines, np.array([-0.9, -0.8, 0.1], np.float32))
    assert turned.tolist() == [True] * 3
    assert not doubtful.any()


def test_lines_along_one_axis_agree_though_their_boxes_begin_at_opposite_ends() -> None:
    there, back = a_box(0, 0, 300), a_box(0, 40, 300)
    back = (*back[2:], *back[:2])
    turned, _ = agree_on_heads(corners(there, back), np.array([0.9, -0.9], np.float32))
    assert turned.tolist() == [False, True]


def test_lines_that_run_across_the_page_decide_for_themselves() -> None:
    spine = a_box(0, 0, 300, degrees=90)
    turned, _ = agree_on_heads(corners(a_box(0, 0, 400), spine), np.array([0.9, -0.9], np.float32))
    assert turned.tolist() == [False, True]


def test_a_digit_that_is_higher_than_wide_lies_as_the_lines_around_it_do() -> None:
    level, digit = a_box(0, 0, 300), a_box(400, 0, 10)
    assert lay_along(corners(level, digit)).tolist() == [0, 0]
    assert lay_along(corners(digit)).tolist() == [1]  # alone, its shape is all there is to go by


def test_a_column_of_lines_that_run_downwards_is_laid_on_its_side_with_its_digits() -> None:
    down, digit = a_box(0, 0, 20, 300), a_box(0, 400, 20, 15)
    assert lay_along(corners(down, digit)).tolist() == [1, 1]
