"""The square view of CLIP models: open_clip's own where its rounding agrees, and never more memory than it is worth."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.algorithms.images.clip_view import clip_view
from deployments.errors import ImageTooLarge
from tests.support.builders import an_image

PX = 32


def open_clips(image: np.ndarray) -> np.ndarray:
    """The pixels of open_clip's own transform, before they become numbers about 0."""
    transform = pytest.importorskip("open_clip.transform")
    ready = transform.image_transform(PX, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    pixels = ready(PillowImage.fromarray(image)).numpy().transpose(1, 2, 0)
    return np.asarray(np.rint(pixels * 255), np.uint8)


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (64, 64), (200, 32), (20, 300), (31, 31), (640, 480)])
def test_the_view_is_open_clips_own(size: tuple[int, int]) -> None:
    image = an_image(size)
    np.testing.assert_array_equal(clip_view(image, PX), open_clips(image))


def test_of_an_odd_rest_the_smaller_half_is_cut_off_first() -> None:
    image = an_image((32 + 3, 32))
    np.testing.assert_array_equal(clip_view(image, PX), image[:, 1 : 1 + PX])
    np.testing.assert_array_equal(open_clips(image), image[:, 2 : 2 + PX])


@pytest.mark.parametrize("size", [(65_535, 1), (1, 65_535)])
def test_a_picture_too_thin_to_be_enlarged_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="too thin"):
        clip_view(np.zeros((size[1], size[0], 3), np.uint8), 224)


def test_a_panorama_is_not_too_thin() -> None:
    assert clip_view(an_image((4000, 40)), 224).shape == (224, 224, 3)
