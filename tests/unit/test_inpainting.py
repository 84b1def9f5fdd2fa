"""Masks, the area worked on, and the result laid over the original."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deployments.algorithms.inpainting import (
    Box,
    Canvas,
    blur_mask,
    fill_masked,
    lay_over,
    mask_of,
    masked_area,
    prepare,
    widen,
)
from tests.builders import a_flat_image, an_image


def a_mask(size: tuple[int, int], box: Box) -> np.ndarray:
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[box.top : box.bottom, box.left : box.right] = 255
    return mask


@st.composite
def boxes_in_frames(draw: st.DrawFn) -> tuple[Box, tuple[int, int]]:
    width, height = draw(st.integers(1, 120)), draw(st.integers(1, 120))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return Box(left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))), (width, height)


def test_a_mask_is_its_transparency_where_it_has_any_else_its_brightness() -> None:
    white = a_flat_image((4, 2), (255, 255, 255))
    alpha = np.array([[0, 128, 129, 255]] * 2, np.uint8)
    assert np.all(mask_of(white, None) == 255)
    assert mask_of(white, alpha)[0].tolist() == [0, 0, 255, 255]
    assert mask_of(white, alpha, rounded=False)[0].tolist() == [0, 128, 129, 255]


def test_blurring_softens_each_axis_by_itself() -> None:
    mask = a_mask((64, 64), Box(24, 24, 40, 40))
    across = blur_mask(mask, 4, 0)
    assert 0 < across[32, 20] < 255
    assert across[20, 32] == 0
    down = blur_mask(mask, 0, 4)
    assert down[32, 20] == 0
    assert 0 < down[20, 32] < 255


def test_the_blur_reaches_as_far_as_its_kernel_of_five_deviations() -> None:
    soft = blur_mask(a_mask((101, 1), Box(50, 0, 51, 1)), 4, 0)
    reach = np.nonzero(soft[0])[0]
    assert 50 - reach.min() <= 10
    assert np.array_equal(blur_mask(soft, 0, 0), soft)


@given(boxes_in_frames(), st.integers(0, 40))
def test_the_masked_area_holds_the_mask_and_stays_inside(of: tuple[Box, tuple[int, int]], padding: int) -> None:
    box, frame = of
    area = masked_area(a_mask(frame, box), padding)
    assert area == Box(
        max(0, box.left - padding),
        max(0, box.top - padding),
        min(frame[0], box.right + padding),
        min(frame[1], box.bottom + padding),
    )


@given(boxes_in_frames(), st.tuples(st.integers(1, 64), st.integers(1, 64)))
def test_widening_keeps_the_box_and_stays_inside(of: tuple[Box, tuple[int, int]], aspect: tuple[int, int]) -> None:
    box, frame = of
    wide = widen(box, aspect, frame)
    assert 0 <= wide.left <= box.left < box.right <= wide.right <= frame[0]
    assert 0 <= wide.top <= box.top < box.bottom <= wide.bottom <= frame[1]


def test_widening_reaches_the_wanted_shape_where_there_is_room() -> None:
    assert widen(Box(40, 40, 60, 50), (1, 1), (100, 100)).size == (20, 20)
    assert widen(Box(0, 40, 4, 60), (2, 1), (100, 100)) == Box(0, 40, 40, 60)


def test_filling_draws_the_surroundings_in_and_leaves_the_rest_alone() -> None:
    picture = a_flat_image((64, 64), (30, 60, 90))
    box = Box(20, 20, 44, 44)
    picture[20:44, 20:44] = (255, 0, 0)
    filled = fill_masked(picture, a_mask((64, 64), box))
    assert np.abs(filled.astype(int) - (30, 60, 90)).max() <= 1


def test_filling_where_everything_is_masked_changes_nothing() -> None:
    picture = an_image()
    assert np.array_equal(fill_masked(picture, np.full(picture.shape[:2], 255, np.uint8)), picture)


def test_only_masked_enlarges_the_area_and_pastes_it_back_at_the_pictures_own_size() -> None:
    picture, box = an_image((200, 160)), Box(50, 40, 90, 80)
    canvas = prepare(picture, a_mask((200, 160), box), (64, 64), "stretch", padding=4, fill=False)
    assert canvas.image.shape == (64, 64, 3)
    assert canvas.area == Box(46, 36, 94, 84)
    result = lay_over(a_flat_image((64, 64), (1, 2, 3)), canvas)
    assert result.shape == picture.shape
    assert np.all(result[40:80, 50:90] == (1, 2, 3))
    outside = np.ones(picture.shape[:2], bool)
    outside[40:80, 50:90] = False
    assert np.array_equal(result[outside], picture[outside])


def test_the_whole_picture_is_worked_on_at_the_wanted_size() -> None:
    picture = an_image((200, 160))
    canvas = prepare(picture, a_mask((200, 160), Box(0, 0, 100, 160)), (64, 64), "stretch", only_masked=False)
    result = lay_over(a_flat_image((64, 64), (1, 2, 3)), canvas)
    assert result.shape == (64, 64, 3)
    assert np.all(result[:, :30] == (1, 2, 3))
    assert np.array_equal(result[:, 40:], canvas.image[:, 40:])


def test_an_empty_mask_means_none() -> None:
    canvas = prepare(an_image(), np.zeros((64, 96), np.uint8), (64, 64), "crop")
    assert canvas.mask is None
    made = a_flat_image((64, 64))
    assert lay_over(made, canvas) is made


def test_a_mask_of_another_size_is_brought_to_the_pictures() -> None:
    canvas = prepare(an_image((200, 160)), a_mask((50, 40), Box(0, 0, 25, 40)), (64, 64), "stretch")
    assert canvas.overlay is not None
    assert canvas.overlay.shape == (160, 200)


def test_a_soft_mask_mixes_both() -> None:
    black, white = a_flat_image((8, 8), (0, 0, 0)), a_flat_image((8, 8), (255, 255, 255))
    canvas = Canvas(black, None, black, np.full((8, 8), 51, np.uint8))
    assert np.all(lay_over(white, canvas) == 51)
