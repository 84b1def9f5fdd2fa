"""Faces of known place and turn, projected from a head in three dimensions, in the formats of the vendors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from google.cloud import vision

from deployments.contracts.portraits import Point
from deployments.providers import rekognition as amazon
from deployments.providers import vision as google

_HEAD = {
    "left_eye": (-0.27, 0, 0),
    "left_eye_outer": (-0.38, 0, -0.05),
    "left_eye_inner": (-0.16, 0, 0.02),
    "left_eye_top": (-0.27, -0.04, 0.02),
    "left_eye_bottom": (-0.27, 0.04, 0.02),
    "left_brow": (-0.28, -0.19, 0.06),
    "left_ear": (-0.62, 0.03, -0.5),
    "left_jaw": (-0.5, 0.69, -0.3),
    "mouth_left": (-0.21, 0.66, 0.05),
    "nose_left": (-0.13, 0.43, 0.1),
    "nose_tip": (0, 0.4, 0.25),
    "nose_bridge": (0, 0.02, 0.1),
    "nose_bottom": (0, 0.47, 0.15),
    "upper_lip": (0, 0.6, 0.14),
    "lower_lip": (0, 0.76, 0.12),
    "chin": (0, 1, 0.05),
}
"""Landmarks of a head: to the viewer's right, down and towards the camera, in heights from the eyes to the chin."""
_BOX = np.array([(-0.65, -0.45), (0.65, -0.45), (0.65, 1.0), (-0.65, 1.0)])


@dataclass(frozen=True)
class FaceAsSeen:
    """A face as a vendor returns it."""

    points: dict[str, Point]
    """Points by our names, and the ears."""
    skin: list[Point]
    roll: float
    yaw: float
    pitch: float
    score: float


@dataclass(frozen=True)
class TrueFace:
    eyes: Point
    """Middle between the eyes, pixels."""
    size: float
    """Pixels from the eyes to the chin."""
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    score: float = 0.98

    def told(self) -> FaceAsSeen:
        head = _HEAD | {name.replace("left", "right"): (-x, y, z) for name, (x, y, z) in _HEAD.items() if x}
        yaw, pitch = np.radians([self.yaw, self.pitch])
        points = {}
        for name, (x, y, z) in head.items():
            right, ahead = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
            points[name] = self._place(right, y * np.cos(pitch) + ahead * np.sin(pitch))
        skin = [self._place(x, y) for x, y in _BOX]
        return FaceAsSeen(points, skin, self.roll, self.yaw, self.pitch, self.score)

    def _place(self, right: float, down: float) -> Point:
        roll = np.radians(self.roll)
        x = right * np.cos(roll) - down * np.sin(roll)
        y = right * np.sin(roll) + down * np.cos(roll)
        return float(self.eyes[0] + x * self.size), float(self.eyes[1] + y * self.size)


def as_vision(face: FaceAsSeen) -> vision.FaceAnnotation:
    skin = [vision.Vertex(x=round(x), y=round(y)) for x, y in face.skin]
    annotation = vision.FaceAnnotation(
        bounding_poly=vision.BoundingPoly(vertices=skin),
        fd_bounding_poly=vision.BoundingPoly(vertices=skin),
        roll_angle=face.roll,
        pan_angle=face.yaw,
        tilt_angle=-face.pitch,
        detection_confidence=face.score,
    )
    types = vision.FaceAnnotation.Landmark.Type
    for theirs, ours in google._NAMES.items():
        x, y = face.points[ours]
        position = vision.Position(x=x, y=y, z=0)
        annotation.landmarks.append(vision.FaceAnnotation.Landmark(type_=types[theirs], position=position))
    of_no_use = vision.FaceAnnotation.Landmark(type_=types.MOUTH_CENTER, position=vision.Position(x=0, y=0, z=0))
    annotation.landmarks.append(of_no_use)
    return annotation


def as_rekognition(face: FaceAsSeen, size: tuple[int, int]) -> dict[str, Any]:
    """Format faces as Rekognition does; `size`: width and height of the image."""
    low, high = np.min(face.skin, axis=0) / size, np.max(face.skin, axis=0) / size
    marks = [
        {"Type": theirs, "X": face.points[ours][0] / size[0], "Y": face.points[ours][1] / size[1]}
        for theirs, ours in amazon._NAMES.items()
    ]
    return {
        "BoundingBox": {"Left": low[0], "Top": low[1], "Width": high[0] - low[0], "Height": high[1] - low[1]},
        "Landmarks": [*marks, {"Type": "leftPupil", "X": 0.5, "Y": 0.5}],
        "Pose": {"Roll": face.roll, "Yaw": face.yaw, "Pitch": -face.pitch},
        "Quality": {"Brightness": 70.0, "Sharpness": 90.0},
        "Confidence": face.score * 100,
    }
