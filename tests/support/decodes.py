"""Counts what Pillow decodes, and OpenCV, which decodes previews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import cv2
from PIL.ImageFile import ImageFile

Decodes = Counter[tuple[int, int]]
"""Width and height -> how many files of that size were decoded."""


@contextmanager
def count_decodes() -> Iterator[Decodes]:
    """Count from here to the end of the block, in all threads."""
    decodes: Decodes = Counter()
    load, imdecode = ImageFile.load, cv2.imdecode

    def spy(image: ImageFile) -> Any:
        if image.tile:  # an image whose pixels are there has none left
            decodes[image.size] += 1
        return load(image)

    def opencv_spy(data: Any, flags: int) -> Any:
        pixels = imdecode(data, flags)
        if pixels is not None:
            decodes[pixels.shape[1], pixels.shape[0]] += 1
        return pixels

    with mock.patch.object(ImageFile, "load", spy), mock.patch.object(cv2, "imdecode", opencv_spy):
        yield decodes
