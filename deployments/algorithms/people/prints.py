"""Faces that one image shows several times: passport sheets, photo strips, collages, a mirror of a phone's screen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Vectors

PRINT_SHARE = 0.4
"""Share of the cut up to which two faces of one image are one photograph of one face, printed twice. With dlib's
network (.154) prints of one size, of 44 portraits put on a sheet six times, lay at most .064 apart, enlarged or darker
ones .088, mirrored ones .076 for 95 % of them, and the nearest two people of one image .366. With MobileFaceNet (.41)
prints of less than half the size lay at most .23 apart, darker and mirrored ones .12 (bench.quality.people)."""


def find_prints(
    vectors: Vectors, rows: NDArray[np.int64], pictures: NDArray[np.int64], cut: float
) -> NDArray[np.int64]:
    """Find for each face of `rows` the one that stands for its photograph: its place in `rows`, `int64[R]`.

    `vectors` `float32[N, D]` of any length but zero, `pictures` `int64[R]` the image of each. Every face lies within
    `PRINT_SHARE` of the cut of the one that stands for it, which does not depend on the order of the faces.
    """
    stands = np.arange(len(rows))
    order = np.argsort(pictures, kind="stable")
    for faces in np.split(order, np.flatnonzero(np.diff(pictures[order])) + 1):
        if len(faces) > 1:
            stands[faces] = faces[_first_near(vectors[rows[faces]], PRINT_SHARE * cut)]
    return stands


def _first_near(vectors: Vectors, distance: float) -> NDArray[np.int64]:
    """Find for each vector the first, in canonical order, that stands for itself and is near; else itself."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = unit @ unit.T >= 1 - distance**2 / 2
    stands = np.full(len(vectors), -1)
    # Adding nothing turns -0 into 0, so that equal vectors have equal bytes.
    for index in sorted(range(len(vectors)), key=lambda row: (vectors[row] + np.float32(0)).tobytes()):
        if stands[index] < 0:
            stands[near[index] & (stands < 0)] = index
            stands[index] = index
    return stands
