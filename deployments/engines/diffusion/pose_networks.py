"""Two ONNX files that find poses together: YOLOX finds bodies, RTMPose the points of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Image
from deployments.engines.runtime import open_session

Points = NDArray[np.float32]
"""Points of a body: x, y and score, `float32[points, 3]`."""
_FOUND_PX, _FOUND_STRIDES, _PADDING = 640, (8, 16, 32), 114
_LEAST_SCORE, _MOST_OVERLAP = 0.3, 0.45
_FARTHEST = 2**15
"""Pixels from its corner within which a box may lie; one beyond is what a damaged file finds, and has no points."""
_MOST_BODIES = 100
"""Bodies of an image, those that are surest: each takes a run of the second network."""
_POSE_ROOM, _FINE = 1.25, 2
"""Room around a body, and places of a point within a pixel."""
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class PoseNetworks:
    """Finds bodies and their points, on the processor whatever other networks run on."""

    kinds: ClassVar[Sequence[int]]
    """COCO's classes of the bodies."""
    size: ClassVar[tuple[int, int]]
    """Width and height of the picture of a body."""
    points: ClassVar[int]

    def __init__(self, finder: Any, pose: Any, weights_bytes: int) -> None:
        """Take sessions of the two networks; `weights_bytes`: what they take in memory."""
        self._finder, self._pose = finder, pose
        self.weights_bytes = weights_bytes

    @classmethod
    def open(cls, files: Sequence[Path]) -> Self:
        """Open the two networks. Raises what files that are others lead to."""
        finder, pose = (open_session(path) for path in files)
        for session, (width, height), outputs in ((finder, (_FOUND_PX, _FOUND_PX), 1), (pose, cls.size, 2)):
            if list(session.get_inputs()[0].shape[-2:]) != [height, width] or len(session.get_outputs()) != outputs:
                raise ValueError("another network")
        made = cls(finder, pose, sum(path.stat().st_size for path in files))
        nothing = np.zeros((cls.size[1], cls.size[0], 3), np.uint8)
        made.find_bodies(nothing)  # raises for answers of another shape
        if made.find_body_points(nothing, np.array([0, 0, *cls.size], np.float32)).shape != (cls.points, 3):
            raise ValueError("other points")
        return made

    def to(self, _device: str) -> Self:
        """Stay on the processor."""
        return self

    def find_bodies(self, image: Image) -> list[NDArray[np.float32]]:
        """Find the boxes of bodies: left, top, right, bottom in pixels, kind by kind; of more than 100 the surest."""
        scale = _FOUND_PX / max(image.shape[:2])
        size = (int(image.shape[1] * scale), int(image.shape[0] * scale))
        seen = np.full((_FOUND_PX, _FOUND_PX, 3), _PADDING, np.uint8)
        seen[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        [found] = _run(self._finder, seen.astype(np.float32))
        boxes = _decode(found[0])
        is_near = np.asarray((np.abs(boxes) < _FARTHEST).all(axis=1))  # which what is no number is not either
        boxes = np.where(is_near[:, None], boxes, 0)
        sizes = [[box[0], box[1], box[2] - box[0], box[3] - box[1]] for box in boxes.tolist()]
        bodies, sure = [], list[float]()
        for kind in self.kinds:
            scores = np.where(is_near, found[0][:, 4] * found[0][:, 5 + kind], 0).astype(np.float32)
            kept = cv2.dnn.NMSBoxes(sizes, scores.tolist(), _LEAST_SCORE, _MOST_OVERLAP)
            places = np.ravel(np.asarray(kept, np.int64))
            bodies += [boxes[place] / np.float32(scale) for place in places]
            sure += scores[places].tolist()
        surest = sorted(np.argsort(sure, kind="stable")[-_MOST_BODIES:].tolist())
        return [bodies[place] for place in surest]

    def find_body_points(self, image: Image, box: NDArray[np.float32]) -> Points:
        """Find the points of the body in a box, in the order of the network."""
        middle = (box[:2] + box[2:]) / 2
        across, down = self.size
        wide = max(float(box[2] - box[0]), float(box[3] - box[1]) * across / down) * _POSE_ROOM
        scale = across / max(wide, 1.0)
        move = np.array(self.size) / 2 - middle * scale
        matrix = np.array([[scale, 0, move[0]], [0, scale, move[1]]])
        seen = cv2.warpAffine(image, matrix, self.size, flags=cv2.INTER_LINEAR).astype(np.float32)
        xs, ys = _run(self._pose, (seen - np.array(_MEAN, np.float32)) / np.array(_DEVIATION, np.float32))
        places = np.stack([xs[0].argmax(axis=1), ys[0].argmax(axis=1)], axis=1) / _FINE
        scores = np.minimum(xs[0].max(axis=1), ys[0].max(axis=1))
        return np.column_stack([(places - move) / scale, scores]).astype(np.float32)


def _run(session: Any, pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    given = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)[None]
    made: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: given})
    return made


def _decode(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decode the boxes in YOLOX's answer `[cells, 5 + classes]`: middle and size by the cell, whether there is
    something, classes."""
    cells, strides = [], []
    for stride in _FOUND_STRIDES:
        side = _FOUND_PX // stride
        ys, xs = np.mgrid[:side, :side]
        cells.append(np.stack([xs, ys], axis=-1).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    stride_of = np.concatenate(strides)
    with np.errstate(all="ignore"):  # of a damaged file's numbers, which are looked at later
        middles = (found[:, :2] + np.concatenate(cells)) * stride_of
        halves = np.exp(found[:, 2:4]) * stride_of / 2
        return np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)
