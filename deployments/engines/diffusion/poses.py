"""Poses of controlnet_aux, drawn here: its own way to draw hands needs matplotlib, which nothing else does, and all
points of a hand or face."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.headers import load_tensors

_FINGERS = (
    *((0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (0, 9), (9, 10)),
    *((10, 11), (11, 12), (0, 13), (13, 14), (14, 15), (15, 16), (0, 17), (17, 18), (18, 19), (19, 20)),
)
"""Bones of a hand, by its 21 points."""
_HAND_DOT, _FACE_DOT, _LINE = 4, 3, 2
_BLUE, _WHITE = (0, 0, 255), (255, 255, 255)


class OpenPose:
    """OpenPose's detector, whose poses are drawn here."""

    def __init__(self, detector: Any, weights_bytes: int) -> None:
        """Take a detector of controlnet_aux; `weights_bytes`: what it takes in memory."""
        self._detector = detector
        self.weights_bytes = weights_bytes

    def to(self, device: str) -> OpenPose:
        """Move to a device."""
        self._detector.to(device)
        return self

    def __call__(self, image: Image, *, include_hand: bool = False, include_face: bool = False, **_: object) -> Image:
        """Draw the poses of all people on black of the image's size."""
        return draw_poses(self._detector.detect_poses(image, include_hand, include_face), image.shape[:2])


def open_openpose(files: Sequence[Path]) -> OpenPose:
    """Open OpenPose of files in one folder. Raises what files that are others lead to."""
    from controlnet_aux import OpenposeDetector

    for path in files:
        load_tensors(path)  # refuses what would run code, by name
    detector = OpenposeDetector.from_pretrained(str(files[0].parent))
    return OpenPose(detector, sum(path.stat().st_size for path in files))


def draw_poses(poses: Sequence[Any], size: tuple[int, int]) -> Image:
    """Draw poses of controlnet_aux, whose points are shares of `size` (height, width) or None."""
    from controlnet_aux.open_pose.util import draw_bodypose

    canvas = np.zeros((*size, 3), np.uint8)
    for pose in poses:
        canvas = draw_bodypose(canvas, pose.body.keypoints)
        for hand in (pose.left_hand, pose.right_hand):
            _draw_hand(canvas, _pixels(hand, size))
        for point in _pixels(pose.face, size):
            if point is not None:
                cv2.circle(canvas, point, _FACE_DOT, _WHITE, thickness=-1)
    return np.asarray(canvas, np.uint8)


def _draw_hand(canvas: Image, points: Sequence[tuple[int, int] | None]) -> None:
    """Draw a hand into `canvas`: each bone in a colour of its own, a dot for each point."""
    for number, (one, other) in enumerate(_FINGERS if points else ()):
        begin, end = points[one], points[other]
        if begin is not None and end is not None:
            colour = [255 * part for part in colorsys.hsv_to_rgb(number / len(_FINGERS), 1.0, 1.0)]
            cv2.line(canvas, begin, end, colour, thickness=_LINE)
    for point in points:
        if point is not None:
            cv2.circle(canvas, point, _HAND_DOT, _BLUE, thickness=-1)


def _pixels(points: Sequence[Any] | None, size: tuple[int, int]) -> list[tuple[int, int] | None]:
    """Convert points to pixels, x and y; None for those at or beyond the upper left edge, which were not found."""
    height, width = size
    places = [None if one is None else (int(one.x * width), int(one.y * height)) for one in points or ()]
    return [place if place is not None and min(place) > 0 else None for place in places]
