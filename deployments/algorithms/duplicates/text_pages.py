"""Detection of pages (text, forms, chats, slides, tables) among photographs: their copies must agree in every word."""

from __future__ import annotations

import cv2
import numpy as np

from deployments.contracts.arrays import Gray, Vectors

_STROKE_PX = 7
"""Width under which strokes are ink, at the working size of 384 pixels."""
_PAPER_PX = 25
"""Size of the surroundings whose level is the paper's; a shadow over the page may change it slowly."""
_PAPER_LEVELS = 12
"""Grey levels by which paper may be off that level."""
_STRONG_EDGE = 30.0
"""Grey levels a pixel."""


def looks_like_page(pixels: Gray) -> bool:
    """Tell whether pixels are mostly ink strokes, or mostly flat paper with nothing but sharp edges on it.

    `pixels` are those of `LocalFeatures`. On 144 photographs and 1,300 drawn pages, rescans among them, this found 99 %
    of the pages; the photographs that it takes for pages are silhouettes and products on white.
    """
    gradient = _gradient(pixels)
    total = float(gradient.sum()) + 1e-6
    dark = cv2.medianBlur(pixels, 3)
    around = np.ones((_PAPER_PX, _PAPER_PX), np.uint8)
    below = cv2.subtract(cv2.morphologyEx(dark, cv2.MORPH_CLOSE, around), dark)
    above = cv2.subtract(dark, cv2.morphologyEx(dark, cv2.MORPH_OPEN, around))
    paper = max(float((below <= _PAPER_LEVELS).mean()), float((above <= _PAPER_LEVELS).mean()))
    stroke = np.ones((_STROKE_PX, _STROKE_PX), np.uint8)
    left_over = min(
        float(_gradient(cv2.morphologyEx(pixels, operation, stroke)).sum())
        for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN)
    )
    ink = 1 - left_over / total
    strong = float(gradient[gradient > _STRONG_EDGE].sum()) / total
    return (paper >= 0.35 and ink >= 0.78) or (paper >= 0.75 and (strong >= 0.6 or ink >= 0.65))


def _gradient(pixels: Gray) -> Vectors:
    x = cv2.Scharr(pixels, cv2.CV_32F, 1, 0, scale=1 / 32)
    y = cv2.Scharr(pixels, cv2.CV_32F, 0, 1, scale=1 / 32)
    magnitude: Vectors = cv2.magnitude(x, y)
    return magnitude
