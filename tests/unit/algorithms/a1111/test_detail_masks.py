"""Masks of faces that ADetailer redraws."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.algorithms.a1111.detail_masks import MaskOptions, draw_masks
from deployments.contracts.albums import Face

SIZE = (100, 80)
PLAIN = MaskOptions(dilate_erode=0)


def a_face(left: float, top: float, side: float, score: float = 0.9, mesh: bool = False) -> Face:
    """A square face; its mesh, if any, is the circle in the box."""
    angles = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    middle = (left + side / 2, top + side / 2)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * side / 2 + middle
    landmarks = (points if mesh else points[:5]).astype(np.float32)
    return Face((left, top, left + side, top + side), score, 1.0, landmarks, np.zeros(4, np.float32))


SMALL, LARGE, DOUBTFUL = a_face(70, 10, 10, 0.8), a_face(10, 20, 40, 0.7), a_face(60, 40, 20, 0.2)


def boxes(masks: list[np.ndarray]) -> list[tuple[int, int, int, int]]:
    found = []
    for mask in masks:
        ys, xs = np.nonzero(mask)
        found.append((int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1))
    return found


def test_each_confident_face_has_a_mask_from_left_to_right() -> None:
    masks = draw_masks(SIZE, [SMALL, DOUBTFUL, LARGE], "box", PLAIN, 20)
    assert {mask.shape for mask in masks} == {(80, 100)}
    assert boxes(masks) == [(10, 20, 50, 60), (70, 10, 80, 20)]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (MaskOptions(largest=1, dilate_erode=0), [(10, 20, 50, 60)]),
        (MaskOptions(largest=1, by_confidence=True, dilate_erode=0), [(70, 10, 80, 20)]),
        (MaskOptions(min_ratio=0.1, dilate_erode=0), [(10, 20, 50, 60)]),
        (MaskOptions(max_ratio=0.1, dilate_erode=0), [(70, 10, 80, 20)]),
        (MaskOptions(confidence=0.95), []),
    ],
)
def test_faces_are_chosen_by_confidence_and_size(options: MaskOptions, kept: list[tuple[int, ...]]) -> None:
    assert boxes(draw_masks(SIZE, [SMALL, LARGE], "box", options, 20)) == kept


def test_no_more_than_so_many_faces_are_marked() -> None:
    assert len(draw_masks(SIZE, [a_face(x, 10, 5) for x in range(0, 90, 10)], "box", PLAIN, 3)) == 3


def test_masks_grow_shrink_and_move() -> None:
    [grown] = boxes(draw_masks(SIZE, [LARGE], "box", MaskOptions(dilate_erode=4), 20))
    assert 3 <= grown[2] - grown[0] - 40 <= 4
    [shrunk] = boxes(draw_masks(SIZE, [LARGE], "box", MaskOptions(dilate_erode=-4), 20))
    assert 3 <= 40 - (shrunk[2] - shrunk[0]) <= 4
    moved = draw_masks(SIZE, [LARGE], "box", MaskOptions(dilate_erode=0, x_offset=5, y_offset=7), 20)
    assert boxes(moved) == [(15, 13, 55, 53)]  # to the right, and up


def test_a_face_that_shrinks_away_is_left_out() -> None:
    assert draw_masks(SIZE, [SMALL], "box", MaskOptions(dilate_erode=-40), 20) == []


def test_masks_may_be_merged_and_inverted() -> None:
    [merged] = draw_masks(SIZE, [SMALL, LARGE], "box", MaskOptions(dilate_erode=0, merge="Merge"), 20)
    assert (merged > 0).sum() == 10 * 10 + 40 * 40
    [inverted] = draw_masks(SIZE, [SMALL, LARGE], "box", MaskOptions(dilate_erode=0, merge="Merge and Invert"), 20)
    np.testing.assert_array_equal(inverted, 255 - merged)
    assert draw_masks(SIZE, [], "box", MaskOptions(merge="Merge and Invert"), 20) == []


def test_a_mesh_marks_the_face_itself_and_a_face_without_one_its_box() -> None:
    [inside] = draw_masks(SIZE, [a_face(10, 20, 40, mesh=True)], "mesh", PLAIN, 20)
    assert 0 < (inside > 0).sum() < 40 * 40
    [box] = draw_masks(SIZE, [LARGE], "mesh", PLAIN, 20)
    assert (box > 0).sum() == 40 * 40


def test_a_face_that_sticks_out_is_marked_as_far_as_the_image_goes() -> None:
    assert boxes(draw_masks(SIZE, [a_face(-10, -10, 40)], "box", PLAIN, 20)) == [(0, 0, 30, 30)]
