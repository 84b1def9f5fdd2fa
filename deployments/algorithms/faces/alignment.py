"""Cutting faces out of a picture: upright, at the size and place that a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.contracts.albums import Image

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
"""`float64[2, 3]`, a plane map: a point goes to `matrix[:, :2] @ point + matrix[:, 2]`."""

MESH_POINTS = 468
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

_SMALLEST_SCALE = 1e-4


def fit_similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> Matrix:
    """The turn, scale and shift, without mirroring, that bring `[N, 2]` points closest to their targets.

    Least squares in closed form (S. Umeyama, 1991, in the plane). Points that all coincide give scale 0.
    """
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - mean_s, target - mean_t
    spread = max(float((s * s).sum()), 1e-12)
    a = float((s * t).sum()) / spread
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / spread
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, mean_t - turn @ mean_s])


def fit_square(centre: NDArray[np.floating], side: float, roll: float, size: int) -> Matrix:
    """Sets the square of `side` pixels around `centre`, turned clockwise by `roll` radians, upright, `size` wide."""
    cos, sin = np.cos(roll) * size / side, np.sin(roll) * size / side
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([turn, size / 2 - turn @ np.asarray(centre, np.float64)])


def invert(matrix: Matrix) -> Matrix:
    """The way back."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def move_points(points: NDArray[np.floating], matrix: Matrix) -> Floats:
    """`[..., 2]` points through the matrix."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def quarter_turn_back(height: int, width: int, turns: int) -> Matrix:
    """Brings points of `np.rot90(image, turns)` back to the image, which is `height` by `width` pixels."""
    return (
        np.array([[1.0, 0, 0], [0, 1, 0]]),
        np.array([[0.0, -1, width - 1], [1, 0, 0]]),
        np.array([[-1.0, 0, width - 1], [0, -1, height - 1]]),
        np.array([[0.0, 1, 0], [-1, 0, height - 1]]),
    )[turns % 4]


def roll_of(eyes: NDArray[np.floating]) -> float:
    """Radians, -pi to pi, by which a face is turned clockwise; `[2, 2]`: its right eye, then its left."""
    dx, dy = eyes[1] - eyes[0]
    return float(np.arctan2(dy, dx))


def bounding_square(points: NDArray[np.floating], roll: float) -> tuple[Floats, float]:
    """Centre `float32[2]` and side of the smallest square, turned by `roll`, around `[N, 2]` points."""
    upright = fit_square(np.zeros(2), 1, roll, 1)[:, :2]
    turned = points @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = ((low + high) / 2) @ upright
    return centre.astype(np.float32), float((high - low).max())


def warp_square(image: Image, matrix: Matrix, size: int) -> Image:
    """`uint8[size, size, 3]`: the picture through the matrix, black outside its border.

    Where it shrinks to less than half it is averaged first: bilinear interpolation alone would skip pixels. Only the
    part that is needed is touched. A matrix that shrinks the picture to nothing gives black.
    """
    if np.hypot(matrix[0, 0], matrix[0, 1]) < _SMALLEST_SCALE:
        return np.zeros((size, size, 3), np.uint8)
    inverse = invert(matrix)
    corners = move_points(np.array([[0.0, 0], [size, 0], [0, size], [size, size]]), inverse)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(np.int64) - 2, 0)
    high = np.maximum(np.ceil(corners.max(axis=0)).astype(np.int64) + 3, 0)
    part = image[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        return np.zeros((size, size, 3), np.uint8)
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ low
    shrink = 2 * float(np.hypot(matrix[0, 0], matrix[0, 1]))
    if shrink < 1:
        height, width = part.shape[:2]
        small = max(1, round(width * shrink)), max(1, round(height * shrink))
        ratio = np.array([width / small[0], height / small[1]])
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        # Whole numbers are pixel centres, so x = (x' + 1/2) * ratio - 1/2.
        local[:, 2] += local[:, :2] @ (ratio / 2 - 0.5)
        local[:, :2] *= ratio
    return np.asarray(cv2.warpAffine(part, local, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def chip_by_eyes(image: Image, eyes: NDArray[np.floating], padding: float, size: int) -> Image:
    """`uint8[size, size, 3]`: like one of `face_chips`, where only the centres of the eyes `[2, 2]` are known."""
    places = np.stack([DLIB_TEMPLATE[2:4].mean(axis=0), DLIB_TEMPLATE[:2].mean(axis=0)])
    return warp_square(image, fit_similarity(eyes, (places + padding) / (1 + 2 * padding) * size), size)


def face_chips(image: Image, mesh: Floats, paddings: Sequence[float], size: int) -> NDArray[np.uint8]:
    """`uint8[2 * len(paddings), size, size, 3]`: a face aligned to dlib's template, at each padding plain and mirrored.

    `mesh` is `float32[468, 2 or 3]`; a padding is the border around the template's unit square, as a share of its side.
    """
    points = mesh[list(MESH_FOR_DLIB), :2].astype(np.float64)
    chips = []
    for padding in paddings:
        target = (DLIB_TEMPLATE + padding) / (1 + 2 * padding) * size
        chip = warp_square(image, fit_similarity(points, target), size)
        chips += [chip, chip[:, ::-1]]
    return np.ascontiguousarray(chips)


def five_points(mesh: Floats) -> Floats:
    """`float32[5, 2]`: eye centres, tip of the nose, corners of the mouth, out of `float32[468, 2 or 3]`."""
    return np.stack([mesh[list(group), :2].mean(axis=0) for group in MESH_FIVE]).astype(np.float32)
