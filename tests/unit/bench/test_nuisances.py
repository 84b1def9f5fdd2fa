"""Files that the neighbour benchmark sends."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as PillowImage

from bench.speed.nuisances import crowd, distinct
from tests.support.builders import an_image, encoded


def test_distinct_files_have_other_bytes_and_the_same_pixels() -> None:
    file = encoded(an_image(), "JPEG")
    files = {distinct(file) for _ in range(3)}
    assert len(files) == 3
    expected = np.asarray(PillowImage.open(io.BytesIO(file)))
    for one in files:
        assert (np.asarray(PillowImage.open(io.BytesIO(one))) == expected).all()


def test_a_crowd_is_one_picture_of_many_portraits() -> None:
    assert PillowImage.open(io.BytesIO(crowd(side=3))).size == (1920, 1440)
