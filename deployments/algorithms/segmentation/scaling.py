"""Scaling of a segmentation found in a small image to the pixels of the large one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deployments.algorithms.segmentation.cutouts import enlarge_mask
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import Segmentation, SegmentedFace


def scale_segmentation(image: Image, found: Segmentation) -> Segmentation:
    """Scale what was found in a smaller version of `image` to its pixels: the masks lie on the image's own edges."""
    height, width = image.shape[:2]
    if found.person_mask.shape == (height, width):
        return found
    return replace(
        found,
        faces=scale_faces(found, width, height),
        face_mask=enlarge_mask(image, found.face_mask),
        person_mask=enlarge_mask(image, found.person_mask),
    )


def scale_faces(found: Segmentation, width: int, height: int) -> tuple[SegmentedFace, ...]:
    """Scale the faces of a segmentation to the pixels of the image at `width` x `height`."""
    rows, columns = found.person_mask.shape
    across, down = width / columns, height / rows
    return tuple(
        replace(
            face,
            bbox=(face.bbox[0] * across, face.bbox[1] * down, face.bbox[2] * across, face.bbox[3] * down),
            landmarks={name: (x * across, y * down) for name, (x, y) in face.landmarks.items()},
            outline=face.outline * np.array([across, down], np.float32),
        )
        for face in found.faces
    )
