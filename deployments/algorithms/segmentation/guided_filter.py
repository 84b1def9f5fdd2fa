"""Guided filtering of masks, so that they follow the edges of their image (K. He, J. Sun, X. Tang, 2013)."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.contracts.arrays import Floats, Image

_NOISE = 8.0
"""Differences of brightness below this are no edges, levels of 255."""


def follow_edges(image: Image, mask: Floats, radius: float) -> Floats:
    """Move the borders of `mask` onto edges of the image up to `radius` pixels away: `float32[H, W]`, 0 to 1.

    Where the image has no edge the border becomes soft over the radius. Large radii are worked on at a reduced size:
    the filter's coefficients are smooth.
    """
    reach = max(1, round(radius))
    scale = 1.0 if reach < 8 else 4 / reach
    if min(image.shape[:2]) * scale < 2:
        return mask
    filtered = cv2.ximgproc.guidedFilter(image, mask, reach, _NOISE**2, dDepth=-1, scale=scale)
    return np.asarray(np.clip(filtered, 0, 1, out=filtered), np.float32)


def steeper(mask: Floats, low: float, high: float) -> Floats:
    """Steepen a mask: chances up to `low` become 0, those from `high` 1, smoothly between."""
    ramp = np.clip((mask - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)
