"""What is not there, made up smoothly from what is around: the background behind hair, colours beside edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts import Gray

Floats = NDArray[np.float32]


def hair_zone(x: Floats, y: Floats) -> Floats:
    """0 to 1 in the turned head space: around the head and down to the neck, where hair may hang, no shoulders."""
    away = np.sqrt((x / 3.1) ** 2 + ((y + 0.4) / 3.2) ** 2)
    above = np.clip((2.1 - 0.2 * np.abs(x) - y) / 0.35, 0, 1)
    return np.asarray(np.clip((1 - away) / 0.12, 0, 1) * above, np.float32)


def behind(picture: Floats, person: Gray, spread_px: float) -> Floats:
    """`float32[H, W, 3]` with the person filled in from around; grain is up to the caller."""
    reach = max(1, round(spread_px))
    grown = cv2.dilate(person, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    known = (grown < 110).astype(np.float32)
    return fill_in(picture, known) if known.any() else picture


def fill_in(colours: Floats, known: Floats) -> Floats:
    """`float32[H, W, 3]`: where `known`, `float32[H, W]`, is 0 the colours come from ever farther away."""
    levels = [np.dstack([colours * known[..., None], known])]
    while min(levels[-1].shape[:2]) > 2:
        levels.append(cv2.pyrDown(levels[-1]))
    filled = levels[-1][..., :3] / np.maximum(levels[-1][..., 3:], 1e-4)
    for level in levels[-2::-1]:
        filled = cv2.pyrUp(filled, dstsize=level.shape[1::-1])
        weight = level[..., 3:]
        filled += (level[..., :3] / np.maximum(weight, 1e-4) - filled) * np.minimum(weight * 1.5, 1)
    return np.asarray(filled, np.float32)
