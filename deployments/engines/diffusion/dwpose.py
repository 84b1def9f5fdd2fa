"""Poses of whole bodies by DWPose: 133 points of each person."""

from __future__ import annotations

import numpy as np

from deployments.algorithms.a1111.poses import BODY_POINTS, Pose, draw_poses
from deployments.contracts.arrays import Image
from deployments.engines.diffusion.pose_networks import Points, PoseNetworks

_LEAST_POINT = 0.3
_SHOULDERS = (5, 6)
_BODY = (0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""Where OpenPose's eighteen points of the body are among COCO's seventeen, and the neck after them."""
_FACE, _LEFT_HAND, _RIGHT_HAND = slice(24, 92), slice(92, 113), slice(113, 134)


class DWPose(PoseNetworks):
    """Draws bodies, hands and faces of all people of an image."""

    kinds = (0,)
    size = (288, 384)
    points = 133

    def __call__(self, image: Image, **_: object) -> Image:
        """Draw the poses as OpenPose does, on black of the image's size."""
        height, width = image.shape[:2]
        poses = [_as_pose(in_order(self.find_body_points(image, box))) for box in self.find_bodies(image)]
        return draw_poses(poses, (width, height))


def in_order(points: Points) -> Points:
    """Order the points `float32[133, 3]` of COCO as OpenPose does, with a neck between the shoulders: body, feet,
    face, hands, `float32[134, 3]`."""
    neck = points[list(_SHOULDERS)].mean(axis=0)
    neck[2] = float((points[list(_SHOULDERS), 2] > _LEAST_POINT).all())
    bodies = np.concatenate([points[:17], neck[None]])[list(_BODY)]
    return np.concatenate([bodies, points[17:]]).astype(np.float32)


def _as_pose(points: Points) -> Pose:
    """Take a person apart; doubtful points are left out."""
    seen = [(x, y) if score >= _LEAST_POINT else None for x, y, score in points.tolist()]
    return Pose(seen[:BODY_POINTS], seen[_LEFT_HAND], seen[_RIGHT_HAND], seen[_FACE])
