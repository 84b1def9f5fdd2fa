"""Guess from edges alone whether a picture holds writing: cheap enough for all pictures, and often wrong on its own."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Gray, Image

_WORKING_PX = 640
_STEP = 40
"""Step of brightness, of 255, that print makes."""
_JOINED_PX = 9
"""Gap between letters that is closed, at the working size."""
_SHORTEST_PX = 12
_HEIGHTS_PX = (4, 60)
_LONG = 2.5
"""Ratio of a line's length to its height at least."""
_DENSE = 0.5
"""Share of a line's box that its joined edges fill at least: those of grass and leaves fray."""


def measure_writing(image: Image) -> float:
    """Measure the share of a picture that long bars of dense edges cover, as lines of text do at any slant; 0 to 1."""
    grey = cv2.cvtColor(shrink(image, _WORKING_PX), cv2.COLOR_RGB2GRAY)
    steps = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    edges = (steps > _STEP).astype(np.uint8)
    return max(_bars(edges, (_JOINED_PX, 1)), _bars(edges, (1, _JOINED_PX)))


def _bars(edges: Gray, joined: tuple[int, int]) -> float:
    lines = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_RECT, joined))
    outlines, kinds = cv2.findContours(lines, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return 0.0
    is_outer = kinds[0][:, 3] < 0
    total = 0.0
    for outline in (outline for outline, outer in zip(outlines, is_outer, strict=True) if outer):
        if max(cv2.boundingRect(outline)[2:]) < _SHORTEST_PX:
            continue
        height, width = sorted(side + 1 for side in cv2.minAreaRect(outline)[1])
        area = cv2.contourArea(outline)
        if _HEIGHTS_PX[0] <= height <= _HEIGHTS_PX[1] and width >= _LONG * height and area >= _DENSE * width * height:
            total += area
    return float(total) / edges.size
