"""Counts what Pillow, the only decoder here, decodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from PIL.ImageFile import ImageFile

Decodes = Counter[tuple[int, int]]
"""Width and height -> how many PNG or JPEG files of that size were decoded."""


@contextmanager
def count_decodes() -> Iterator[Decodes]:
    """Count from here to the end of the block, in all threads."""
    decodes: Decodes = Counter()
    load = ImageFile.load

    def spy(image: ImageFile) -> Any:
        if image.tile:  # an image whose pixels are there has none left
            decodes[image.size] += 1
        return load(image)

    with mock.patch.object(ImageFile, "load", spy):
        yield decodes
