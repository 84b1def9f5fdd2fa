"""Where people are: MediaPipe's selfie segmentation on the whole picture and, upright, around each face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.face_alignment import invert, warp_square
from deployments.algorithms.segmentation.frames import frame_of
from deployments.contracts import Gray, Image
from deployments.engines.runtime import InterpreterPool
from deployments.portraits import SegmentedFace

Floats = NDArray[np.float32]

_INPUT_PX = 256
_BODY = 7.0
"""Side of the square around a face, in heights from its eyes to its chin: head, shoulders and chest."""
_BODY_CENTRE = (0.0, 1.6)


class PersonMask:
    """Thread-safe, one core a call."""

    files = ("selfie_segmentation.tflite",)

    def __init__(self, weights_dir: Path, threads: int = 1) -> None:
        """`threads`: calls that may run side by side."""
        self._model = InterpreterPool(weights_dir / self.files[0], threads)

    def segment(self, image: Image, faces: Sequence[SegmentedFace]) -> Gray:
        """`uint8[H, W]`: 255 person, 0 background."""
        height, width = image.shape[:2]
        small = cv2.resize(image, (_INPUT_PX, _INPUT_PX), interpolation=cv2.INTER_AREA)
        whole = np.asarray(cv2.resize(self._run(small), (width, height), interpolation=cv2.INTER_LINEAR))
        for face in faces:
            place = frame_of(face).window(_BODY, _BODY_CENTRE, _INPUT_PX)
            chance = self._run(warp_square(image, place, _INPUT_PX))
            near = cv2.warpAffine(chance, invert(place), (width, height), flags=cv2.INTER_LINEAR)
            whole = np.maximum(whole, near)
        return np.asarray(np.rint(np.clip(whole, 0, 1) * 255), np.uint8)

    def _run(self, crop: Image) -> Floats:
        (chance,) = self._model.run([crop[None].astype(np.float32) / 255])
        return np.asarray(chance[0, :, :, 0], np.float32)
