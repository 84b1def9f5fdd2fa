"""Poses of people drawn as OpenPose does, on black: bodies, hands and faces, as far as their points are known."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deployments.contracts.arrays import Image

Point = tuple[float, float] | None
"""A point in pixels, x and y; None: it is not known."""
BODY_POINTS, HAND_POINTS = 18, 21
_LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
"""Pairs of a body's points that are joined, each in the colour at its place."""
_FINGERS = tuple(
    (4 * finger + joint if joint else 0, 4 * finger + joint + 1) for finger in range(5) for joint in range(4)
)
"""Bones of a hand, from the wrist to each tip."""
_HUES = 18
_LIMB_PX, _LIMB_LIGHT = 4, 0.6
_BODY_DOT, _HAND_DOT, _FACE_DOT, _LINE = 4, 4, 3, 2
_BLUE, _WHITE = (0, 0, 255), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Pose:
    """A person; a hand or face without points is not drawn."""

    body: Sequence[Point]
    left_hand: Sequence[Point] = ()
    right_hand: Sequence[Point] = ()
    face: Sequence[Point] = ()


def draw_poses(poses: Iterable[Pose], size: tuple[int, int]) -> Image:
    """Draw poses on black of `size` (width, height)."""
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    for pose in poses:
        _draw_body(canvas, pose.body)
        for hand in (pose.left_hand, pose.right_hand):
            _draw_hand(canvas, hand)
        for point in _inside(pose.face):
            cv2.circle(canvas, point, _FACE_DOT, _WHITE, thickness=-1)
    return canvas


def _draw_body(canvas: Image, points: Sequence[Point]) -> None:
    colours = [_colour(number / _HUES) for number in range(_HUES)]
    for (one, other), colour in zip(_LIMBS, colours, strict=False):
        begin, end = (points[place] if place < len(points) else None for place in (one, other))
        if begin is None or end is None:
            continue
        middle = (int((begin[0] + end[0]) / 2), int((begin[1] + end[1]) / 2))
        length = math.dist(begin, end)
        angle = math.degrees(math.atan2(begin[1] - end[1], begin[0] - end[0]))
        limb = cv2.ellipse2Poly(middle, (int(length / 2), _LIMB_PX), int(angle), 0, 360, 1)
        cv2.fillConvexPoly(canvas, limb, [int(part * _LIMB_LIGHT) for part in colour])
    for point, colour in zip(points, colours, strict=False):
        if point is not None:
            cv2.circle(canvas, (int(point[0]), int(point[1])), _BODY_DOT, colour, thickness=-1)


def _draw_hand(canvas: Image, points: Sequence[Point]) -> None:
    if len(points) < HAND_POINTS:
        return
    for number, (one, other) in enumerate(_FINGERS):
        ends = _inside([points[one], points[other]])
        if len(ends) == 2:
            colour = [255 * part for part in colorsys.hsv_to_rgb(number / len(_FINGERS), 1.0, 1.0)]
            cv2.line(canvas, ends[0], ends[1], colour, thickness=_LINE)
    for point in _inside(points):
        cv2.circle(canvas, point, _HAND_DOT, _BLUE, thickness=-1)


def _inside(points: Sequence[Point]) -> list[tuple[int, int]]:
    """Whole pixels of the points that are known: those of hands and faces at or beyond the left or upper edge are
    not."""
    pixels = [(int(point[0]), int(point[1])) for point in points if point is not None]
    return [pixel for pixel in pixels if min(pixel) > 0]


def _colour(hue: float) -> tuple[int, int, int]:
    """A colour of the rainbow."""
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 1.0, 1.0))
    return red, green, blue
