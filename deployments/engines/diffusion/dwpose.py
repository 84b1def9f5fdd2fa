"""Poses of whole bodies by DWPose: two ONNX files, of which one finds people and the other their 133 points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.a1111.poses import BODY_POINTS, Pose, draw_poses
from deployments.contracts.arrays import Image
from deployments.engines.runtime import open_session

Points = NDArray[np.float32]
"""Points of a person as OpenPose orders them, body, feet, face, hands: x, y and score, `float32[134, 3]`."""
_FOUND_PX, _FOUND_STRIDES, _PADDING = 640, (8, 16, 32), 114
_LEAST_PERSON, _MOST_OVERLAP = 0.3, 0.45
_POSE_SIZE, _POSE_ROOM, _FINE = (288, 384), 1.25, 2
"""Width and height of the picture of a person, the room around them, and places of a point within a pixel."""
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_POINTS, _LEAST_POINT = 133, 0.3
_SHOULDERS = (5, 6)
_BODY = (0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""Where OpenPose's eighteen points of the body are among COCO's seventeen, and the neck after them."""
_FACE, _LEFT_HAND, _RIGHT_HAND = slice(24, 92), slice(92, 113), slice(113, 134)


class DWPose:
    """Draws bodies, hands and faces of all people of an image."""

    def __init__(self, finder: Any, pose: Any, weights_bytes: int) -> None:
        """Take sessions of the two networks; `weights_bytes`: what they take in memory."""
        self._finder, self._pose = finder, pose
        self.weights_bytes = weights_bytes

    def to(self, _device: str) -> DWPose:
        """Stay on the processor, where it runs whatever the others run on."""
        return self

    def __call__(self, image: Image, **_: object) -> Image:
        """Draw the poses as OpenPose does, on black of the image's size."""
        height, width = image.shape[:2]
        poses = [_as_pose(self.find_points(image, box)) for box in self.find_people(image)]
        return draw_poses(poses, (width, height))

    def find_people(self, image: Image) -> list[NDArray[np.float32]]:
        """Find the boxes of people: left, top, right, bottom in pixels."""
        scale = _FOUND_PX / max(image.shape[:2])
        size = (int(image.shape[1] * scale), int(image.shape[0] * scale))
        seen = np.full((_FOUND_PX, _FOUND_PX, 3), _PADDING, np.uint8)
        seen[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        [found] = _run(self._finder, seen.astype(np.float32))
        boxes, scores = _decode(found[0])
        sizes = [[box[0], box[1], box[2] - box[0], box[3] - box[1]] for box in boxes.tolist()]
        kept = cv2.dnn.NMSBoxes(sizes, scores.tolist(), _LEAST_PERSON, _MOST_OVERLAP)
        return [boxes[int(place)] / np.float32(scale) for place in np.ravel(np.asarray(kept, np.int64))]

    def find_points(self, image: Image, box: NDArray[np.float32]) -> Points:
        """Find the points of the person in a box."""
        middle = (box[:2] + box[2:]) / 2
        wide = max(float(box[2] - box[0]), float(box[3] - box[1]) * _POSE_SIZE[0] / _POSE_SIZE[1]) * _POSE_ROOM
        scale = _POSE_SIZE[0] / max(wide, 1.0)
        move = np.array(_POSE_SIZE) / 2 - middle * scale
        matrix = np.array([[scale, 0, move[0]], [0, scale, move[1]]])
        seen = cv2.warpAffine(image, matrix, _POSE_SIZE, flags=cv2.INTER_LINEAR).astype(np.float32)
        xs, ys = _run(self._pose, (seen - np.array(_MEAN, np.float32)) / np.array(_DEVIATION, np.float32))
        places = np.stack([xs[0].argmax(axis=1), ys[0].argmax(axis=1)], axis=1) / _FINE
        scores = np.minimum(xs[0].max(axis=1), ys[0].max(axis=1))
        return _in_order(np.column_stack([(places - move) / scale, scores]).astype(np.float32))


def open_dwpose(files: Sequence[Path]) -> DWPose:
    """Open the two networks. Raises what files that are others lead to."""
    finder, pose = (open_session(path) for path in files)
    for session, (width, height), outputs in ((finder, (_FOUND_PX, _FOUND_PX), 1), (pose, _POSE_SIZE, 2)):
        if list(session.get_inputs()[0].shape[-2:]) != [height, width] or len(session.get_outputs()) != outputs:
            raise ValueError("another network")
    made = DWPose(finder, pose, sum(path.stat().st_size for path in files))
    nothing = np.zeros((_POSE_SIZE[1], _POSE_SIZE[0], 3), np.uint8)
    made.find_people(nothing)  # raises for answers of another shape
    if made.find_points(nothing, np.array([0, 0, *_POSE_SIZE], np.float32)).shape != (_POINTS + 1, 3):
        raise ValueError("other points")
    return made


def _run(session: Any, pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    given = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)[None]
    made: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: given})
    return made


def _decode(found: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decode YOLOX's answer `[cells, 5 + classes]`: middle and size by the cell, whether there is something, classes.
    -> boxes and scores of people"""
    cells, strides = [], []
    for stride in _FOUND_STRIDES:
        side = _FOUND_PX // stride
        ys, xs = np.mgrid[:side, :side]
        cells.append(np.stack([xs, ys], axis=-1).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    stride_of = np.concatenate(strides)
    middles = (found[:, :2] + np.concatenate(cells)) * stride_of
    halves = np.exp(found[:, 2:4]) * stride_of / 2
    boxes = np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)
    return boxes, np.asarray(found[:, 4] * found[:, 5], np.float32)


def _in_order(points: NDArray[np.float32]) -> Points:
    """Order the points `float32[133, 3]` of COCO as OpenPose does, with a neck between the shoulders."""
    neck = points[list(_SHOULDERS)].mean(axis=0)
    neck[2] = float((points[list(_SHOULDERS), 2] > _LEAST_POINT).all())
    bodies = np.concatenate([points[:17], neck[None]])[list(_BODY)]
    return np.concatenate([bodies, points[17:_POINTS]]).astype(np.float32)


def _as_pose(points: Points) -> Pose:
    """Take a person apart; doubtful points are left out."""
    seen = [(x, y) if score >= _LEAST_POINT else None for x, y, score in points.tolist()]
    return Pose(seen[:BODY_POINTS], seen[_LEFT_HAND], seen[_RIGHT_HAND], seen[_FACE])
