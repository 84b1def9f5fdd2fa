"""Letterboxing for models of a few aspect ratios: pad to a supported ratio and crop back."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deployments.contracts.arrays import Image


def frame(image: Image, ratios: Sequence[str]) -> tuple[Image, str]:
    """Pad an image by repeating its border to the nearest of `ratios` (`4:3`: width to height); -> it and that
    ratio."""
    height, width = image.shape[:2]
    ratio = min(ratios, key=lambda text: abs(np.log(_value(text) * height / width)))
    wanted = _value(ratio)
    right = max(0, round(height * wanted) - width)
    below = max(0, round(width / wanted) - height)
    framed = cv2.copyMakeBorder(
        image, below // 2, below - below // 2, right // 2, right - right // 2, cv2.BORDER_REPLICATE
    )
    return np.asarray(framed, np.uint8), ratio


def unframe(made: Image, image: Image, framed: Image) -> Image:
    """Crop the part of `made` that shows `image`, where `made` is a model's version of `framed`, in whatever size."""
    across, down = made.shape[1] / framed.shape[1], made.shape[0] / framed.shape[0]
    left = (framed.shape[1] - image.shape[1]) // 2
    top = (framed.shape[0] - image.shape[0]) // 2
    right, bottom = left + image.shape[1], top + image.shape[0]
    return made[round(top * down) : round(bottom * down), round(left * across) : round(right * across)]


def _value(ratio: str) -> float:
    width, height = ratio.split(":")
    return int(width) / int(height)
