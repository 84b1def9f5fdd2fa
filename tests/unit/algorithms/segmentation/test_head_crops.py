"""Head crops: what an image model sees of a head, and its way back into the photograph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.algorithms.segmentation.head_crops import cut_head, put_head_back
from deployments.contracts.arrays import Gray, Image
from tests.support.builders import an_image

sides = st.integers(40, 160)


def a_mask(shape: tuple[int, ...], box: tuple[int, int, int, int]) -> Gray:
    mask = np.zeros(shape[:2], np.uint8)
    x1, y1, x2, y2 = box
    mask[y1:y2, x1:x2] = 255
    return mask


def test_a_head_in_the_middle_is_cut_as_a_square_with_room_around_it() -> None:
    image = an_image((200, 200))
    crop = cut_head(image, a_mask(image.shape, (80, 90, 120, 120)), 128 * 128)
    assert crop is not None
    assert (crop.columns, crop.rows) == (slice(74, 126), slice(79, 131))
    assert crop.image.shape == (128, 128, 3)
    assert crop.mask.shape == (128, 128)


def test_a_head_at_the_border_is_seen_with_more_of_the_other_side() -> None:
    image = an_image((200, 200))
    crop = cut_head(image, a_mask(image.shape, (0, 170, 40, 200)), 64 * 64)
    assert crop is not None
    assert (crop.columns, crop.rows) == (slice(0, 52), slice(148, 200))


def test_a_head_wider_than_the_image_is_seen_in_the_images_shape() -> None:
    image = an_image((60, 200))
    crop = cut_head(image, a_mask(image.shape, (0, 20, 60, 120)), 64 * 64)
    assert crop is not None
    assert crop.columns == slice(0, 60)
    assert crop.rows.stop - crop.rows.start == 130
    assert crop.image.shape[0] > crop.image.shape[1]


def test_a_black_mask_has_no_head_crop() -> None:
    image = an_image((50, 50))
    assert cut_head(image, np.zeros((50, 50), np.uint8), 64 * 64) is None


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.data())
def test_a_head_crop_lies_within_the_image_and_holds_the_whole_mask(
    width: int, height: int, data: st.DataObject
) -> None:
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    image = an_image((width, height))
    crop = cut_head(image, a_mask(image.shape, (x1, y1, x2, y2)), 64 * 64)
    assert crop is not None
    assert 0 <= crop.columns.start <= x1 < x2 <= crop.columns.stop <= width
    assert 0 <= crop.rows.start <= y1 < y2 <= crop.rows.stop <= height
    assert all(side % 8 == 0 for side in crop.image.shape[:2])
    assert crop.mask.any()


@pytest.mark.parametrize("box", [(80, 90, 120, 120), (0, 0, 30, 30), (5, 0, 200, 200)])
def test_an_edited_head_stands_under_the_mask_and_the_rest_is_untouched(box: tuple[int, int, int, int]) -> None:
    image: Image = an_image((200, 200))
    mask = a_mask(image.shape, box)
    crop = cut_head(image, mask, 64 * 64)
    assert crop is not None
    out = put_head_back(image, mask, crop, np.full_like(crop.image, 7))
    assert (out[mask == 255] == 7).all()
    assert np.array_equal(out[mask == 0], image[mask == 0])
