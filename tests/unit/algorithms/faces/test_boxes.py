"""Face boxes: overlap, suppression and search windows."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.algorithms.faces.boxes import (
    SearchWindow,
    box_areas,
    is_cut,
    overlaps,
    square_windows,
    suppress_overlaps,
)

SIDES = st.integers(1, 3000)
GRIDS = st.integers(1, 8)


def some_boxes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 60, (count, 2))], axis=1)
    return boxes.astype(np.float32), rng.choice(np.linspace(0, 1, 5), count).astype(np.float32)


def boxes_of(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_equal_boxes_overlap_wholly_and_distant_ones_not_at_all() -> None:
    iou, contained = overlaps(boxes_of((0, 0, 10, 10))[0], boxes_of((0, 0, 10, 10), (20, 20, 30, 30)))
    np.testing.assert_allclose(iou, [1, 0])
    np.testing.assert_allclose(contained, [1, 0])


def test_a_box_inside_another_is_contained_though_the_union_is_large() -> None:
    iou, contained = overlaps(boxes_of((0, 0, 10, 10))[0], boxes_of((2, 2, 4, 7)))
    np.testing.assert_allclose(iou, [0.1])
    np.testing.assert_allclose(contained, [1])


def test_a_box_with_swapped_corners_has_no_area() -> None:
    np.testing.assert_array_equal(box_areas(boxes_of((5, 5, 1, 9), (0, 0, 2, 3))), [0, 6])


def test_suppression_drops_the_part_of_a_face_when_the_face_is_there() -> None:
    face, mouth = (0, 0, 10, 10), (3, 6, 7, 9)
    assert suppress_overlaps(boxes_of(mouth, face), np.array([0.5, 0.9], np.float32), 0.3, 0.6).tolist() == [1]
    assert suppress_overlaps(boxes_of(mouth, face), np.array([0.5, 0.9], np.float32), 0.3).tolist() == [1, 0]


@given(st.integers(0, 30), st.integers(0, 10_000))
def test_boxes_kept_by_suppression_do_not_overlap_and_cover_those_that_went(count: int, seed: int) -> None:
    boxes, scores = some_boxes(count, seed)
    kept = suppress_overlaps(boxes, scores, 0.3)
    assert (np.diff(scores[kept]) <= 0).all()
    for i in range(count):
        iou, _ = overlaps(boxes[i], boxes[kept])
        better = scores[kept] >= scores[i]
        assert (iou[kept != i] <= 0.3).all() if i in kept else (iou[better] > 0.3).any()


@given(st.integers(2, 20), st.integers(0, 10_000))
def test_suppression_does_not_depend_on_the_order_of_the_boxes(count: int, seed: int) -> None:
    boxes, scores = some_boxes(count, seed)
    order = np.random.default_rng(seed + 1).permutation(count)
    kept = suppress_overlaps(boxes, scores, 0.3, 0.6)
    again = suppress_overlaps(boxes[order], scores[order], 0.3, 0.6)
    np.testing.assert_array_equal(boxes[kept], boxes[order][again])


@given(SIDES, SIDES, GRIDS)
@example(1, 1, 6)
@example(2, 1, 6)
def test_search_windows_cover_the_image_and_stay_in_it(height: int, width: int, grid: int) -> None:
    windows = square_windows(height, width, grid)
    for length, starts in ((width, {w.x for w in windows}), (height, {w.y for w in windows})):
        side, reached = windows[0].side, 0
        for start in sorted(starts):
            assert start <= reached
            reached = start + side
        assert reached >= length
        assert max(starts) + side <= max(length, side)


@given(st.integers(200, 3000), st.integers(200, 3000), st.integers(2, 6), st.floats(0, 1), st.floats(0, 1))
def test_a_small_face_is_whole_in_one_of_the_search_windows(
    h: int, w: int, grid: int, across: float, down: float
) -> None:
    windows = square_windows(h, w, grid)
    face = windows[0].side * 0.2
    x, y = across * max(w - face, 0), down * max(h - face, 0)
    box = boxes_of((x, y, min(x + face, w), min(y + face, h)))
    assert any(
        window.x <= box[0, 0] + 1
        and window.y <= box[0, 1] + 1
        and box[0, 2] <= window.x + window.side + 1
        and box[0, 3] <= window.y + window.side + 1
        for window in windows
    )


def test_a_box_at_an_inner_border_is_cut_and_one_at_the_images_border_is_not() -> None:
    window = SearchWindow(x=0, y=50, side=100)
    at_the_left, at_the_top, at_the_right, inside = (
        (0, 80, 20, 99),
        (30, 50, 60, 80),
        (70, 90, 100, 99),
        (9, 70, 30, 90),
    )
    cut = is_cut(boxes_of(at_the_left, at_the_top, at_the_right, inside), window, height=150, width=300)
    assert cut.tolist() == [False, True, True, False]
