"""Detection of pages (text, forms, chats, slides, tables) among photographs: their copies must agree in every word."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Gray, Vectors

_STROKE_PX = 7
"""Width under which strokes are ink, at the working size of 384 pixels."""
_PAPER_PX = 25
"""Size of the surroundings whose level is the paper's; a shadow over the page may change it slowly."""
_PAPER_LEVELS = 12
"""Grey levels by which paper may be off that level."""
_STRONG_EDGE = 30.0
"""Grey levels a pixel."""
_LINE_PX, _LINE_STEP_DEGREES = 61, 7.5
"""Length of the lines between rows of words that nothing crosses, and how finely their direction is searched."""


def looks_like_page(pixels: Gray) -> bool:
    """Tell whether pixels are mostly ink strokes, or mostly flat paper with nothing but sharp edges on it.

    `pixels` are those of `LocalFeatures`. On 144 photographs and 1,300 drawn pages, rescans among them, this found 99 %
    of the pages; the photographs that it takes for pages are silhouettes and products on white. What is light on dark
    may be a starry sky: there edges must be sharp, as screens draw them, and most of the ground must lie in lines that
    nothing crosses. Of 120 pictures of nebulae and clusters (those of the planetarium Stellarium) 86 were pages
    without that, 8 are; of ten pages in white on black, in nine versions each, three more are none.
    """
    gradient = _gradient(pixels)
    total = float(gradient.sum()) + 1e-6
    dark = cv2.medianBlur(pixels, 3)
    around = np.ones((_PAPER_PX, _PAPER_PX), np.uint8)
    below = cv2.subtract(cv2.morphologyEx(dark, cv2.MORPH_CLOSE, around), dark) <= _PAPER_LEVELS
    above = cv2.subtract(dark, cv2.morphologyEx(dark, cv2.MORPH_OPEN, around)) <= _PAPER_LEVELS
    is_light_on_dark = above.mean() > below.mean()
    ground = above if is_light_on_dark else below
    paper = float(ground.mean())
    stroke = np.ones((_STROKE_PX, _STROKE_PX), np.uint8)
    left_over = min(
        float(_gradient(cv2.morphologyEx(pixels, operation, stroke)).sum())
        for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN)
    )
    ink = 1 - left_over / total
    strong = float(gradient[gradient > _STRONG_EDGE].sum()) / total
    looks = (paper >= 0.35 and ink >= 0.78) or (paper >= 0.75 and (strong >= 0.6 or ink >= 0.65))
    return looks and (not is_light_on_dark or (strong >= 0.6 and _lies_in_lines(ground, share=0.6)))


def _lies_in_lines(ground: NDArray[np.bool_], share: float) -> bool:
    """Tell whether a share of the ground is covered by lines of one direction that are wholly ground."""
    height, width = ground.shape
    reach = int(np.hypot(height, width)) + 1
    line, wanted = np.ones((1, _LINE_PX), np.uint8), share * float(ground.sum())
    for degrees in np.arange(0, 180, _LINE_STEP_DEGREES):
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(degrees), 1.0)
        turn[:, 2] += (reach - width) / 2, (reach - height) / 2
        turned = cv2.warpAffine(ground.astype(np.uint8), turn, (reach, reach), flags=cv2.INTER_NEAREST)
        if float(cv2.morphologyEx(turned, cv2.MORPH_OPEN, line).sum()) >= wanted:
            return True
    return False


def _gradient(pixels: Gray) -> Vectors:
    x = cv2.Scharr(pixels, cv2.CV_32F, 1, 0, scale=1 / 32)
    y = cv2.Scharr(pixels, cv2.CV_32F, 0, 1, scale=1 / 32)
    magnitude: Vectors = cv2.magnitude(x, y)
    return magnitude
