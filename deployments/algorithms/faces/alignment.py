"""Face alignment: cutting faces out upright, at the size and place that a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.images.affine import fit_similarity, warp_square
from deployments.contracts.arrays import Floats, Image

MESH_POINTS = 468
"""Points of MediaPipe's face mesh."""
MESH_EYES = ((33, 133), (362, 263))
"""Outer and inner corner of the person's right eye, inner and outer of the left, in MediaPipe's face mesh."""
MESH_FIVE = ((33, 133), (362, 263), (1,), (61,), (291,))
"""Eye centres, tip of the nose, corners of the mouth in the mesh: the five points that MTCNN names."""
MESH_FOR_DLIB = (263, 362, 33, 133, 2)
"""The points of the mesh that `DLIB_TEMPLATE` places."""
DLIB_TEMPLATE = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
"""Outer and inner corner of the left eye, of the right eye, and the base of the nose, in a unit square: the mean shape
in dlib's `get_face_chip_details` (image_transforms/interpolation.h), to which the training faces were aligned."""

FIVE_POINT_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eye centres, tip of the nose and corners of the mouth in a face of 112 pixels: the usual alignment of networks that
were trained on MTCNN's points (insightface: `utils/face_align.py`)."""
_FIVE_POINT_PX = 112


def roll_of(eyes: NDArray[np.floating]) -> float:
    """Measure by how much a face is turned clockwise, radians, -pi to pi; `eyes` `[2, 2]`: its right eye, then its
    left."""
    dx, dy = eyes[1] - eyes[0]
    return float(np.arctan2(dy, dx))


def chip_by_eyes(image: Image, eyes: NDArray[np.floating], padding: float, size: int) -> Image:
    """Align a face as `face_chips` does, knowing only the centres of its eyes `[2, 2]`: `uint8[size, size, 3]`."""
    places = np.stack([DLIB_TEMPLATE[2:4].mean(axis=0), DLIB_TEMPLATE[:2].mean(axis=0)])
    return warp_square(image, fit_similarity(eyes, (places + padding) / (1 + 2 * padding) * size), size)


def face_chips(image: Image, mesh: Floats, paddings: Sequence[float], size: int) -> NDArray[np.uint8]:
    """Align a face to dlib's template, at each padding plain and mirrored: `uint8[2 * len(paddings), size, size, 3]`.

    `mesh` is `float32[468, 2 or 3]`; a padding is the border around the template's unit square, as a share of its side.
    """
    points = mesh[list(MESH_FOR_DLIB), :2].astype(np.float64)
    chips = []
    for padding in paddings:
        target = (DLIB_TEMPLATE + padding) / (1 + 2 * padding) * size
        chip = warp_square(image, fit_similarity(points, target), size)
        chips += [chip, chip[:, ::-1]]
    return np.ascontiguousarray(chips)


def five_point_chip(image: Image, five: Floats, size: int) -> Image:
    """Align a face, given by eyes, tip of the nose and mouth corners `[5, 2]`, to `FIVE_POINT_TEMPLATE`, enlarged to
    `size`: `uint8[size, size, 3]`."""
    template = FIVE_POINT_TEMPLATE * (size / _FIVE_POINT_PX)
    return warp_square(image, fit_similarity(five.astype(np.float64), template), size)


def five_points(mesh: Floats) -> Floats:
    """Take eye centres, tip of the nose and corners of the mouth, `float32[5, 2]`, from a mesh `float32[468, 2 or
    3]`."""
    return np.stack([mesh[list(group), :2].mean(axis=0) for group in MESH_FIVE]).astype(np.float32)
