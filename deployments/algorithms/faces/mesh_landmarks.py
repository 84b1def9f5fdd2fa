"""Named landmarks, outline and pose from the 468 points of MediaPipe's face mesh."""

from __future__ import annotations

import numpy as np

from deployments.algorithms.faces.alignment import MESH_EYES, roll_of
from deployments.contracts.arrays import Floats
from deployments.contracts.portraits import SegmentedFace

MESH_NAMES: dict[str, tuple[int, ...]] = {
    "left_eye": MESH_EYES[0],
    "right_eye": MESH_EYES[1],
    "nose_tip": (1,),
    "mouth_left": (61,),
    "mouth_right": (291,),
    "upper_lip": (0,),
    "lower_lip": (17,),
    "chin": (152,),
    "left_temple": (127,),
    "right_temple": (356,),
    "left_eye_outer": (33,),
    "left_eye_inner": (133,),
    "left_eye_top": (159,),
    "left_eye_bottom": (145,),
    "right_eye_inner": (362,),
    "right_eye_outer": (263,),
    "right_eye_top": (386,),
    "right_eye_bottom": (374,),
    "left_brow": (105,),
    "right_brow": (334,),
    "nose_bridge": (168,),
    "nose_bottom": (2,),
    "nose_left": (129,),
    "nose_right": (358,),
    "left_jaw": (172,),
    "right_jaw": (397,),
    "forehead": (10,),
}
"""Landmarks by name, each the mean of its points. What is the person's right in MediaPipe is left here."""
MESH_OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The face oval, clockwise from the middle of the forehead (mediapipe: FACEMESH_FACE_OVAL)."""


def describe_mesh(mesh: Floats, box: Floats, score: float) -> SegmentedFace:
    """Describe a face by its mesh `float32[468, 3]`: x and y in pixels, z away from the camera in pixels."""
    roll, yaw, pitch = pose_of(mesh)
    x1, y1, x2, y2 = (float(edge) for edge in box)
    points = {name: mesh[list(indices), :2].mean(axis=0) for name, indices in MESH_NAMES.items()}
    return SegmentedFace(
        bbox=(x1, y1, x2, y2),
        score=score,
        landmarks={name: (float(x), float(y)) for name, (x, y) in points.items()},
        outline=np.ascontiguousarray(mesh[list(MESH_OUTLINE), :2]),
        roll=roll,
        yaw=yaw,
        pitch=pitch,
    )


def pose_of(mesh: Floats) -> tuple[float, float, float]:
    """Estimate roll, yaw and pitch in degrees, as `SegmentedFace` has them."""
    eyes = [mesh[list(corners)].mean(axis=0) for corners in MESH_EYES]
    across = (eyes[1] - eyes[0]) + (mesh[356] - mesh[127])
    down = mesh[152] - mesh[10]
    roll = roll_of(np.stack([eyes[0][:2], eyes[1][:2]]))
    # Away from the camera is +z, so this points out of the back of the head.
    backwards = np.cross(across, down)
    x, y, z = -backwards
    right, below = x * np.cos(roll) + y * np.sin(roll), y * np.cos(roll) - x * np.sin(roll)
    yaw = np.degrees(np.arctan2(right, -z))
    pitch = np.degrees(np.arctan2(below, np.hypot(right, z)))
    return float(np.degrees(roll)), float(yaw), float(pitch)
