"""The skin of faces as a mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deployments.contracts import Gray, Image
from deployments.portraits import SegmentedFace


def face_mask(image: Image, faces: Sequence[SegmentedFace], person: Gray) -> Gray:
    """`uint8[H, W]`: 255 skin of a face, 0 anything else."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for face in faces:
        cv2.fillPoly(mask, [np.round(face.outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return np.minimum(mask, person)
