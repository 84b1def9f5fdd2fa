"""The best shot of a burst, by the eyes and the sharpness of its faces and by its quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import cv2
import numpy as np

from deployments.algorithms.faces.quality import sharpness
from deployments.contracts.arrays import Floats, Image

_LIDS = (((159, 145), (33, 133)), ((386, 374), (362, 263)))
"""Of each eye the middles of its lids and its corners, in MediaPipe's face mesh."""
OPEN = (0.12, 0.24)
"""Height of an eye over its width: shut eyes stay below the first, open ones are above the second in most faces
(Soukupová and Čech 2016 tell blinks apart at about 0.2)."""
_MESH_POINTS = 468
_CHIP_PX = 150
_CLEARLY = 1.05
"""Factor by which a shot must beat another in one thing before the next thing decides."""


@dataclass(frozen=True, slots=True)
class FaceLook:
    """How a face looks in a shot."""

    eyes: float
    """How far its eyes are open, 0 to 1; 1 where the landmarks do not tell."""
    sharpness: float
    """`faces.quality.sharpness`, 0 to about 1."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot of a burst."""

    key: str
    quality: float
    """Technical quality, 0 to 1."""
    faces: Sequence[FaceLook] = field(default_factory=tuple)


def is_burst(times: Sequence[datetime | None], gap_s: float) -> bool:
    """Tell whether shots were taken one after the other, none longer than `gap_s` seconds after another.

    A shot of an unknown time makes it none.
    """
    known = sorted(time for time in times if time is not None)
    gap = timedelta(seconds=gap_s)
    return 1 < len(known) == len(times) and all(later - earlier <= gap for earlier, later in pairwise(known))


def choose_shots(shots: Sequence[Shot]) -> tuple[list[str], str]:
    """Choose the best of two or more shots. -> keys of the best ones, more than one where nothing tells them apart; why

    Open eyes come first, then sharp faces, then technical quality. A face that a shot lacks counts as shut and blurred
    there. The order of `shots` does not matter.
    """
    left, why = sorted(shots, key=lambda shot: shot.key), "as good as the others"
    most = max(len(shot.faces) for shot in shots)
    rules: list[tuple[str, Callable[[Shot], float]]] = [("best quality", lambda shot: shot.quality)]
    if most:
        rules = [
            ("eyes open", lambda shot: sum(face.eyes for face in shot.faces) / most),
            ("sharpest faces", lambda shot: sum(face.sharpness for face in shot.faces) / most),
            *rules,
        ]
    for reason, value in rules:
        best = max(map(value, left))
        kept = [shot for shot in left if value(shot) * _CLEARLY >= best]
        if len(kept) < len(left):
            left, why = kept, reason
    return [shot.key for shot in left], why


def eyes_open(landmarks: Floats) -> float:
    """Measure how far the eyes of a face are open, 0 to 1, from its mesh, `float32[468, 2]`; 1 for other landmarks.

    The wider eye counts: a turned head foreshortens the other one.
    """
    if len(landmarks) != _MESH_POINTS:
        return 1.0
    ratios = [_length(landmarks, lids) / max(_length(landmarks, corners), 1e-6) for lids, corners in _LIDS]
    return float(np.clip((max(ratios) - OPEN[0]) / (OPEN[1] - OPEN[0]), 0, 1))


def face_sharpness(image: Image, box: Floats) -> float:
    """Measure the sharpness of a face in `uint8[H, W, 3]`; `box` is `(x1, y1, x2, y2)` in its pixels. 0: no face."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(np.round(box).astype(int), 0, [width, height, width, height])
    if x2 - x1 < 2 or y2 - y1 < 2:
        return 0.0
    return sharpness(
        cv2.resize(image[y1:y2, x1:x2], (_CHIP_PX, _CHIP_PX), interpolation=cv2.INTER_AREA).astype(np.uint8)
    )


def _length(points: Floats, ends: tuple[int, int]) -> float:
    return float(np.linalg.norm(points[ends[0]] - points[ends[1]]))
