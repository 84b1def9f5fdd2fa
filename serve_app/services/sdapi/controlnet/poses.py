"""Poses as the ControlNet extension writes them in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from deployments.algorithms.a1111.animal_poses import ANIMAL_POINTS, draw_animal
from deployments.algorithms.a1111.image_metadata import encode_picture
from deployments.algorithms.a1111.poses import BODY_POINTS, Point, Pose, draw_poses

POINTS_OF_AN_ANIMAL = ANIMAL_POINTS
BODY_NUMBERS = 3 * BODY_POINTS
"""Numbers of a body: x, y and confidence of each point."""
_SURE = 1.0


def render_poses(
    people: Sequence[Mapping[str, Sequence[float] | None]],
    animals: Sequence[Sequence[Sequence[float]]],
    size: tuple[int, int],
) -> bytes:
    """Draw people and animals on black of `size` (width, height). -> PNG

    An animal's points are in pixels, x and y, whatever follows.
    """
    canvas = draw_poses([_pose(person, size) for person in people], size)
    for points in animals:
        draw_animal(canvas, np.array([point[:2] for point in points]))
    return encode_picture(canvas)


def _pose(person: Mapping[str, Sequence[float] | None], size: tuple[int, int]) -> Pose:
    names = ("pose", "hand_left", "hand_right", "face")
    return Pose(*(_points(person.get(f"{name}_keypoints_2d") or (), size) for name in names))


def _points(numbers: Sequence[float], size: tuple[int, int]) -> list[Point]:
    """Read points; where none is over 1 in any direction they are shares of the size."""
    whole = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False)
    read: list[Point] = [(x, y) if sure >= _SURE and math.isfinite(x + y) else None for x, y, sure in whole]
    if any(max(map(abs, point)) > 1 for point in read if point is not None):
        most = 2 * max(size)
        return [None if point is None or max(map(abs, point)) > most else point for point in read]
    return [None if point is None else (point[0] * size[0], point[1] * size[1]) for point in read]
