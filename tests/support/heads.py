"""Faces and segmentations for tests of avatars, made of numbers: no network has to find them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from deployments.contracts.arrays import Image
from deployments.contracts.portraits import Point, Segmentation, SegmentedFace

ASTRONAUT_EYES, ASTRONAUT_UNIT, ASTRONAUT_ROLL = (223.0, 108.0), 43.0, 3.0
"""Position between the eyes of scikit-image's astronaut, their distance (both in pixels), and the roll in degrees."""

_POINTS = {
    "left_eye": (-0.5, 0.0, 0.0),
    "right_eye": (0.5, 0.0, 0.0),
    "nose_tip": (0.0, 0.62, 0.45),
    "mouth_left": (-0.42, 1.1, 0.1),
    "mouth_right": (0.42, 1.1, 0.1),
    "upper_lip": (0.0, 1.02, 0.22),
    "lower_lip": (0.0, 1.24, 0.2),
    "chin": (0.0, 1.72, 0.05),
    "left_temple": (-1.1, 0.05, -0.4),
    "right_temple": (1.1, 0.05, -0.4),
}
_LIDS = {
    "left_eye_outer": (-0.72, 0.0, 0.0),
    "left_eye_inner": (-0.28, 0.02, 0.0),
    "left_eye_top": (-0.51, -0.09, 0.0),
    "left_eye_bottom": (-0.5, 0.06, 0.0),
    "right_eye_inner": (0.28, 0.02, 0.0),
    "right_eye_outer": (0.72, 0.0, 0.0),
    "right_eye_top": (0.51, -0.09, 0.0),
    "right_eye_bottom": (0.5, 0.06, 0.0),
}


def a_face(
    eyes: Point = ASTRONAUT_EYES,
    unit_px: float = ASTRONAUT_UNIT,
    roll: float = 0.0,
    yaw: float = 0.0,
    lids: bool = True,
) -> SegmentedFace:
    """Make an average face with the middle between its eyes at `eyes`."""
    cos, sin = math.cos(math.radians(roll)) * unit_px, math.sin(math.radians(roll)) * unit_px
    aside, deep = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))

    def seen(x: float, y: float, z: float) -> Point:
        x = x * aside + z * deep
        return eyes[0] + x * cos - y * sin, eyes[1] + x * sin + y * cos

    landmarks = {name: seen(*point) for name, point in (_POINTS | (_LIDS if lids else {})).items()}
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    outline = [seen(1.05 * math.cos(t), 0.45 + 1.28 * math.sin(t), -0.1) for t in turns]
    corners = np.array(outline)
    x1, y1, x2, y2 = (float(edge) for edge in (*corners.min(axis=0), *corners.max(axis=0)))
    return SegmentedFace((x1, y1, x2, y2), 0.99, landmarks, np.array(outline, np.float32), roll, yaw, 0.0)


def a_segmentation(image: Image, faces: Sequence[SegmentedFace]) -> Segmentation:
    """Make a segmentation: skin inside of the outlines, and heads with hair around them."""
    face_mask, person_mask = (np.zeros(image.shape[:2], np.uint8) for _ in range(2))
    for face in faces:
        outline = face.outline
        middle = outline.mean(axis=0)
        cv2.fillPoly(face_mask, [np.round(outline).astype(np.int32)], 255, cv2.LINE_AA)
        cv2.fillPoly(person_mask, [np.round((outline - middle) * 1.35 + middle).astype(np.int32)], 255, cv2.LINE_AA)
    return Segmentation(tuple(faces), face_mask, person_mask)
