"""Poses of animals, the 17 points of AP-10K, drawn as sd-webui-controlnet draws them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Image

_LINES = (
    *(((0, 1), (255, 255, 255)), ((1, 2), (100, 255, 100)), ((0, 2), (150, 255, 255))),  # eyes and nose
    ((2, 3), (100, 50, 255)),  # to the neck
    *(((3, 8), (50, 150, 200)), ((8, 9), (0, 255, 255)), ((9, 10), (0, 150, 0))),  # right foreleg
    *(((3, 5), (0, 0, 255)), ((5, 6), (0, 0, 150)), ((6, 7), (255, 50, 255))),  # left foreleg
    ((3, 4), (255, 0, 255)),  # along the back
    *(((4, 14), (255, 0, 0)), ((14, 15), (150, 0, 0)), ((15, 16), (255, 255, 100))),  # right hind leg
    *(((4, 11), (0, 150, 0)), ((11, 12), (255, 255, 0)), ((12, 13), (150, 150, 150))),  # left hind leg
)
"""Pairs of points, and the colour of the line between them: what networks that are guided by them have learned."""
_LINE_PX = 5
_FARTHEST = 2**15
ANIMAL_POINTS = 17


def draw_animal(canvas: Image, points: NDArray[np.floating]) -> None:
    """Draw one animal: x and y of its points in pixels, `[17, 2]`."""
    places = np.clip(points, -_FARTHEST, _FARTHEST).astype(int).tolist()
    for (one, other), colour in _LINES:
        cv2.line(canvas, places[one], places[other], colour, _LINE_PX)
