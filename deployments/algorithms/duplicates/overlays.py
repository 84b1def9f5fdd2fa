"""Overlays: which of two copies has something drawn on it, a sticker, a caption or a scribble.

What is drawn changes light and dark from afar in one place, where other edits leave that as it was or change it
everywhere; and what it covers is rarely as busy as it is itself, or as plain in its levels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.duplicates.block_match import CommonFrame, gradient_size
from deployments.contracts.albums import Side
from deployments.contracts.arrays import Vectors

# Set on the half `tuned` of bench/quality/copies.
_AFAR_PX = 4.0
"""Blur under which two copies are compared, pixels of the frame."""
_LEAST, _TIMES_USUAL = 25.0, 8.0
"""Grey levels by which an overlay differs, and how many times the usual difference that must be."""
_MOST_USUAL = 1.0
"""Usual difference, grey levels, from which on the copy was edited everywhere: nothing can be told."""
_MIN_SHARE = 0.005
"""Share of the common area that an overlay takes."""
_BUSIER = 1.15
"""Times as much gradient where the overlay is."""
_PLAIN, _PLAINER = 0.6, 0.25
"""Share of pixels that have one of the three commonest levels, of 32, in an overlay; and by how much more than in what
it covers."""
_LEVELS, _STEP = 32, 8
_MIN_PIXELS = 20


def overlay_side(frame: CommonFrame) -> Side | None:
    """Tell which of two registered copies bears an overlay; None for neither, both, or where it cannot be told."""
    inside = cv2.erode(frame.valid, np.ones((9, 9), np.float32)) > 0
    if not inside.any():
        return None
    left, right = (cv2.GaussianBlur(side, (0, 0), _AFAR_PX) for side in (frame.left, frame.right))
    # In both directions: light that was clipped can be made of what was there, and not the other way about.
    apart = np.minimum(np.abs(_toned(left, right, inside) - right), np.abs(_toned(right, left, inside) - left))
    usual = float(np.median(apart[inside]))
    differs = inside & (apart > max(_LEAST, _TIMES_USUAL * usual))
    differs = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    if usual > _MOST_USUAL or differs.sum() < _MIN_SHARE * inside.sum():
        return None
    return _drawn_side(frame, differs)


def _drawn_side(frame: CommonFrame, differs: NDArray[np.bool_]) -> Side | None:
    edges = cv2.dilate(differs.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    left, right = (float(gradient_size(side)[edges].mean()) + 0.1 for side in (frame.left, frame.right))
    plain_left, plain_right = (_plainness(side[differs]) for side in (frame.left, frame.right))
    if left >= _BUSIER * right and not (plain_right >= _PLAIN and plain_right - plain_left >= _PLAINER):
        return "left"
    if right >= _BUSIER * left and not (plain_left >= _PLAIN and plain_left - plain_right >= _PLAINER):
        return "right"
    if max(plain_left, plain_right) >= _PLAIN and abs(plain_left - plain_right) >= _PLAINER:
        return "left" if plain_left > plain_right else "right"
    return None


def _toned(levels: Vectors, like: Vectors, inside: NDArray[np.bool_]) -> Vectors:
    """Give `levels` the tones of `like`: each level becomes the median of what lies in its places."""
    steps = np.clip(levels / _STEP, 0, _LEVELS - 1).astype(np.int64)
    known, median = [], []
    for step in range(_LEVELS):
        there = like[inside & (steps == step)]
        if len(there) > _MIN_PIXELS:
            known.append(step * _STEP + _STEP / 2)
            median.append(float(np.median(there)))
    if not known:
        return np.full_like(levels, np.median(like[inside]))
    return np.interp(levels, known, median).astype(np.float32)


def _plainness(pixels: Vectors) -> float:
    counts = np.bincount(np.clip(pixels / _STEP, 0, _LEVELS - 1).astype(np.int64), minlength=_LEVELS)
    return float(np.sort(counts)[-3:].sum() / max(1, counts.sum()))
