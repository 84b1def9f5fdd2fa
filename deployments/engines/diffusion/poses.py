"""OpenPose of controlnet_aux, whose poses are drawn here: its own way to draw hands needs matplotlib, which nothing
else does, and all points of a hand or face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployments.algorithms.a1111.poses import Point, Pose, draw_poses
from deployments.contracts.arrays import Image
from deployments.engines.diffusion.headers import load_tensors


class OpenPose:
    """OpenPose's detector."""

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
        size = (image.shape[1], image.shape[0])
        found = self._detector.detect_poses(image, include_hand, include_face)
        return draw_poses([pose_of(one, size) for one in found], size)


def open_openpose(files: Sequence[Path]) -> OpenPose:
    """Open OpenPose of files in one folder. Raises what files that are others lead to."""
    from controlnet_aux import OpenposeDetector

    for path in files:
        load_tensors(path)  # refuses what would run code, by name
    detector = OpenposeDetector.from_pretrained(str(files[0].parent))
    return OpenPose(detector, sum(path.stat().st_size for path in files))


def pose_of(found: Any, size: tuple[int, int]) -> Pose:
    """Convert a pose of controlnet_aux, whose points are shares of `size` (width, height)."""

    def points(given: Sequence[Any] | None) -> list[Point]:
        return [None if one is None else (one.x * size[0], one.y * size[1]) for one in given or ()]

    return Pose(points(found.body.keypoints), points(found.left_hand), points(found.right_hand), points(found.face))
