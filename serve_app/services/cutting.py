"""TEMPORARY until s-seg has it."""

from __future__ import annotations

import io
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image as PillowImage

from deployments.contracts import Gray, Image
from deployments.portraits import Segmentation, SegmentedFace


def enlarge(segmentation: Segmentation, width: int, height: int) -> Segmentation:
    h, w = segmentation.person_mask.shape
    sx, sy = width / w, height / h

    def big(mask: Gray) -> Gray:
        return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)

    def face(one: SegmentedFace) -> SegmentedFace:
        x1, y1, x2, y2 = one.bbox
        return replace(
            one,
            bbox=(x1 * sx, y1 * sy, x2 * sx, y2 * sy),
            landmarks={name: (x * sx, y * sy) for name, (x, y) in one.landmarks.items()},
            outline=one.outline * np.array([sx, sy], np.float32),
        )

    return replace(
        segmentation,
        faces=tuple(map(face, segmentation.faces)),
        face_mask=big(segmentation.face_mask),
        person_mask=big(segmentation.person_mask),
    )


def mask_png(mask: Gray) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def cutout_png(image: Image, mask: Gray) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(np.dstack([image, mask])).save(file, "PNG")
    return file.getvalue()
