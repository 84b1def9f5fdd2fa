"""Face vectors as clients of another network's expect them: 512 numbers, strangers about at right angles.

Vectors of a face network lie about a mean that all faces share, so that strangers seem alike by it. Without it their
cosine is about 0, as among ArcFace's, for which thresholds like Immich's (a distance of .5) were chosen. The mean is a
constant of `assets/faces`: one of the request's own faces would make a face's vector depend on its company.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from deployments.contracts.arrays import Vectors

DATA = Path(__file__).parents[2] / "assets" / "faces"
DIM = 512
"""Length of ArcFace's vectors."""


@cache
def load_mean(network: str) -> Vectors | None:
    """Load the mean vector of a face network, `float32[D]`; None: none was measured.

    `python -m bench.tools.face_mean` writes it.
    """
    file = DATA / f"{network}_mean.toml"
    if not file.is_file():
        return None
    return np.array(tomllib.loads(file.read_text(encoding="utf-8"))["mean"], np.float32)


def centre(vectors: Vectors, mean: Vectors) -> Vectors:
    """Take the mean off unit vectors `float32[N, D]`, and fill up with zeros; -> unit vectors `float32[N, 512]`."""
    shifted = vectors - mean
    shifted /= np.maximum(np.linalg.norm(shifted, axis=1, keepdims=True), 1e-12)
    return np.pad(shifted, ((0, 0), (0, DIM - shifted.shape[1]))).astype(np.float32)
