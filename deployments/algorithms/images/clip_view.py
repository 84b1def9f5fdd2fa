"""The square view of an image that CLIP models are trained on and other software gives them."""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage

from deployments.contracts.arrays import Image
from deployments.errors import image_error

_MOST_PIXELS = 64_000_000
"""Pixels of the enlarged strip that the square is cut from: one pixel wide, an image of 65,535 would take gigabytes."""


def clip_view(image: Image, px: int) -> Image:
    """Cut the view `uint8[px, px, 3]`: the shorter side brought to `px` by Pillow's bicubic filter, then the middle.

    Fractions are cut off, as in Immich, both of the longer side and of the middle's place: in open_clip's own transform
    the place is rounded, so that half of the odd sizes are cut a pixel further on. Raises `ImageError` for an image so
    thin that it would be enlarged beyond measure.
    """
    height, width = image.shape[:2]
    longer = int(max(width, height) / min(width, height) * px)
    if longer * px > _MOST_PIXELS:
        raise image_error("too_many_pixels", "The picture is too thin: its long side is a thousand times the short one")
    size = (px, longer) if width < height else (longer, px)
    left, top = (size[0] - px) // 2, (size[1] - px) // 2
    scaled = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BICUBIC)
    return np.asarray(scaled.crop((left, top, left + px, top + px)))
