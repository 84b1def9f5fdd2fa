"""Faces of an image as restoration networks take them, upright at 512 pixels, and their way back into the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deployments.algorithms.faces.alignment import MESH_POINTS, five_points
from deployments.algorithms.images.affine import fit_similarity, invert, move_points, warp_square
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image, Matrix

FACE_PX = 512
"""Side of an aligned face."""
_TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""Eye centres, tip of the nose and corners of the mouth in an aligned face: where the faces lay that GFPGAN was trained
on (facexlib: `utils/face_restoration_helper.py`)."""
_FIVE = 5
_RIM = 0.125
"""Share of an aligned face's side, at each border, over which it fades into the image."""
_LEAST_SCALE, _MOST_SCALE = 0.01, 100.0
"""Enlargements outside of which points are no face's."""


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """A face that was cut out of an image."""

    pixels: Image
    """`uint8[512, 512, 3]`."""
    matrix: Matrix
    """Map of the image's pixels to those of `pixels`."""


def align_faces(image: Image, faces: Sequence[Face], most: int) -> tuple[list[AlignedFace], int]:
    """Cut out the largest `most` faces of an image. -> they, and how many more there are.

    Faces without landmarks are left out.
    """
    placed = sorted((face for face in faces if _matrix(face) is not None), key=lambda face: -_area(face))
    matrices = [matrix for face in placed[:most] if (matrix := _matrix(face)) is not None]
    cut = [AlignedFace(warp_square(image, matrix, FACE_PX), matrix) for matrix in matrices]
    return cut, max(0, len(placed) - most)


def lay_faces_over(image: Image, aligned: Sequence[AlignedFace], restored: Sequence[Image], visibility: float) -> Image:
    """Lay restored faces over their places in a copy of the image, by a share of 0 to 1, fading at their borders."""
    out = image.copy()
    rim = _soft_square()
    for face, pixels in zip(aligned, restored, strict=True):
        _lay_over(out, pixels, rim, face.matrix, visibility)
    return out


def _lay_over(out: Image, pixels: Image, rim: Image, matrix: Matrix, visibility: float) -> None:
    """Lay one face over `out`, in place; only what lies under it is touched."""
    inverse = invert(matrix)
    corners = move_points(np.array([[0.0, 0], [FACE_PX, 0], [0, FACE_PX], [FACE_PX, FACE_PX]]), inverse)
    height, width = out.shape[:2]
    low = np.clip(np.floor(corners.min(axis=0)).astype(np.int64), 0, (width, height))
    high = np.clip(np.ceil(corners.max(axis=0)).astype(np.int64) + 1, 0, (width, height))
    size = int((high - low).max())
    if (high <= low).any():
        return
    local = inverse.copy()
    local[:, 2] -= low
    under = out[low[1] : high[1], low[0] : high[0]]
    rows, columns = under.shape[:2]
    face = warp_square(pixels, local, size)[:rows, :columns].astype(np.float32)
    share = warp_square(rim, local, size)[:rows, :columns].astype(np.float32) * (visibility / 255)
    under[:] = np.rint(under + share * (face - under)).astype(np.uint8)


def _matrix(face: Face) -> Matrix | None:
    points = face.landmarks
    if len(points) == MESH_POINTS:
        points = five_points(points)
    if len(points) != _FIVE or not np.isfinite(points).all():
        return None
    matrix = fit_similarity(points[:, :2].astype(np.float64), _TEMPLATE)
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    return matrix if _LEAST_SCALE < scale < _MOST_SCALE else None


def _area(face: Face) -> float:
    left, top, right, bottom = face.bbox
    return max(0.0, right - left) * max(0.0, bottom - top)


def _soft_square() -> Image:
    """Draw the mask of an aligned face `uint8[512, 512, 3]`: 255 inside, falling smoothly to 0 at the borders."""
    place = (np.arange(FACE_PX) + 0.5) / FACE_PX
    ramp = np.clip(np.minimum(place, 1 - place) / _RIM, 0, 1)
    soft = ramp * ramp * (3 - 2 * ramp)
    mask = np.rint(255 * soft[:, None] * soft[None]).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(mask[..., None], 3, axis=2))
