"""Damages of photographs at four rising strengths: blur, motion, noise, exposure, compression, enlargement."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from bench.quality.copies.drawing import Random, blurred, clipped, jpeg, noisy, resized
from deployments.contracts.arrays import Image

LEVELS = (0, 1, 2, 3, 4)
"""Strengths: 0 leaves the photograph as it is, 1 is seen at a second look, 2 at once, 3 disturbs, 4 ruins."""
Damage = Callable[[Image, int, Random], Image]


def _blurred(photo: Image, level: int, draw: Random) -> Image:
    """Blur by a Gaussian of .2 to 1.6 % of the longer side."""
    return clipped(blurred(photo.astype(np.float32), (0.002, 0.004, 0.008, 0.016)[level - 1] * max(photo.shape)))


def _moved(photo: Image, level: int, draw: Random) -> Image:
    """Move the camera by .6 to 4.8 % of the longer side, in any direction."""
    length = (0.006, 0.012, 0.024, 0.048)[level - 1] * max(photo.shape)
    size = 2 * int(length / 2 + 1) + 1
    kernel = np.zeros((size, size), np.float32)
    angle = draw.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    middle = np.array([size // 2, size // 2])
    ends = [tuple(round(float(value)) for value in 16 * (middle + side * step)) for side in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    return np.asarray(cv2.filter2D(photo, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), np.uint8)


def _noisy(photo: Image, level: int, draw: Random) -> Image:
    """Add noise of a standard deviation of 8 to 64 grey levels, as a sensor with too little light does."""
    return noisy(photo, draw, (8, 16, 32, 64)[level - 1])


def exposed(photo: Image, stops: float) -> Image:
    """Expose by so many stops more, in linear light."""
    light = (photo / 255.0) ** 2.2 * 2.0**stops
    return clipped(255 * np.clip(light, 0, 1) ** (1 / 2.2))


def _underexposed(photo: Image, level: int, draw: Random) -> Image:
    """Expose by 1.2 to 4.8 stops too little."""
    return exposed(photo, -1.2 * level)


def _overexposed(photo: Image, level: int, draw: Random) -> Image:
    """Expose by 1 to 4 stops too much."""
    return exposed(photo, level)


def to_full_range(photo: Image) -> Image:
    """Expose a dark photograph, by two stops at most, until its lights are all but clipped: a dusk that was brightened
    is better to many, so too much light is known to be too much from here on only."""
    lights = float(np.percentile(photo.max(axis=2), 98))
    return exposed(photo, float(np.clip(2.2 * np.log2(245 / max(lights, 1)), 0, 2)))


def _compressed(photo: Image, level: int, draw: Random) -> Image:
    """Store as JPEG at quality 30 to 3."""
    return jpeg(photo, (30, 15, 7, 3)[level - 1])


def _enlarged(photo: Image, level: int, draw: Random) -> Image:
    """Shrink by 2 to 16 and enlarge again."""
    height, width = photo.shape[:2]
    return resized(resized(photo, width / 2**level, height / 2**level), width, height)


KINDS: dict[str, Damage] = {
    "blurred": _blurred,
    "moved": _moved,
    "noisy": _noisy,
    "underexposed": _underexposed,
    "overexposed": _overexposed,
    "compressed": _compressed,
    "enlarged": _enlarged,
}


def damage(kind: str, photo: Image, level: int, draw: Random) -> Image:
    """Damage a photograph `uint8[H, W, 3]` at a level of `LEVELS`."""
    return photo if level == 0 else KINDS[kind](photo, level, draw)
