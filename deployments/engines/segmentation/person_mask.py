"""Person masks by MediaPipe's selfie segmentation on the whole image and, upright, around each face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deployments.algorithms.faces.frame import frame_of
from deployments.algorithms.images.affine import warp_square
from deployments.algorithms.segmentation.crops import merge_crops, person_crops, quarter_turns, rotate_back
from deployments.algorithms.segmentation.polygons import fill, scaled
from deployments.contracts.arrays import Floats, Gray, Image
from deployments.contracts.portraits import SegmentedFace
from deployments.engines.runtime import InterpreterPool

_INPUT_PX = 256
_SURE = 0.8
"""Share of a face's outline that is a person, whatever the model says."""


class PersonMask:
    """Person segmentation model. Thread-safe, one core a call."""

    files = ("selfie_segmentation.tflite",)

    def __init__(self, weights_dir: Path, threads: int = 1) -> None:
        """Open the model; `threads`: calls that may run side by side."""
        self._model = InterpreterPool(weights_dir / self.files[0], threads)

    def segment(self, image: Image, faces: Sequence[SegmentedFace]) -> Gray:
        """Segment the people of an image, `uint8[H, W]`: 255 person, 0 background, soft and on the image's edges
        between.

        The model sees 256 pixels and knows upright people: small or tilted ones are segmented again in crops around
        `faces`.
        """
        height, width = image.shape[:2]
        frames = [frame_of(face) for face in faces]
        crops = person_crops(frames, height, width, _INPUT_PX)
        turns = quarter_turns(frames)
        whole = rotate_back(self._run(_squeezed(np.rot90(image, turns))), turns)
        chances = [self._run(warp_square(image, crop.matrix, _INPUT_PX)) for crop in crops]
        chance = merge_crops(image, whole, crops, chances)
        for face in faces:
            fill(chance, scaled(face.outline, _SURE), 1.0)
        return np.asarray(np.rint(chance * 255), np.uint8)

    def _run(self, crop: Image) -> Floats:
        (chance,) = self._model.run([crop[None].astype(np.float32) / 255])
        return np.asarray(chance[0, :, :, 0], np.float32)


def _squeezed(image: Image) -> Image:
    """Stretch an image to the model's square, as it was trained."""
    small = cv2.resize(np.ascontiguousarray(image), (_INPUT_PX, _INPUT_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
