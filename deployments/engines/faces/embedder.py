"""Face embeddings by dlib's face recognition network on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Vectors
from deployments.engines.runtime import open_session


class FaceEmbedder:
    """Face embedder: 128-d vectors of aligned faces. Thread-safe, one core a call."""

    files = ("dlib_face_embedding.onnx",)
    input_px = 150
    dim = 128

    def __init__(self, weights_dir: Path, chunk: int = 4) -> None:
        """Open the network; `chunk` crops go through it at once."""
        self._session = open_session(weights_dir / self.files[0])
        self._chunk = chunk

    def embed(self, crops: NDArray[np.uint8]) -> Vectors:
        """Embed K crops of each face, `uint8[N, K, 150, 150, 3]` RGB; -> the unit vector of their mean,
        `float32[N, 128]`."""
        faces, each = crops.shape[:2]
        flat = crops.reshape(faces * each, *crops.shape[2:])
        vectors = np.empty((len(flat), self.dim), np.float32)
        for start in range(0, len(flat), self._chunk):
            part = flat[start : start + self._chunk]
            vectors[start : start + len(part)] = self._session.run(None, {"x": part})[0]
        means = vectors.reshape(faces, each, self.dim).mean(axis=1)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)
