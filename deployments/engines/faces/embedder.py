"""Face embeddings: located faces as unit vectors, by one of two networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from deployments.algorithms.faces.alignment import face_chips, five_point_chip, five_points
from deployments.contracts.arrays import Floats, Image, Vectors
from deployments.engines.faces.locator import LocatedFace
from deployments.engines.runtime import InterpreterPool, open_session


class FaceEmbedder(Protocol):
    """Face network. `embed` may be called from several threads, each call takes one core."""

    def embed(self, image: Image, faces: Sequence[LocatedFace]) -> Vectors:
        """Embed the faces of one image; -> unit vectors `float32[N, D]`."""
        ...


class MobileFaceNet:
    """MobileFaceNet on LiteRT: 192-d vectors, two crops a face.

    A face is aligned by the means of the mesh's points and ONet's, which err differently: the same figures hold over a
    wider range of cuts than with either alone, at no cost.
    """

    files = ("mobilefacenet.tflite",)
    _INPUT_PX = 112

    def __init__(self, weights_dir: Path, threads: int = 1) -> None:
        """Open the network; `threads`: calls that run side by side."""
        self._model = InterpreterPool(weights_dir / self.files[0], threads)

    def embed(self, image: Image, faces: Sequence[LocatedFace]) -> Vectors:
        """Embed faces: the mean of a crop and its mirror image, which the network takes together."""
        fives = [np.float32(0.5) * (five_points(face.mesh.points) + face.five) for face in faces]
        crops = [five_point_chip(image, five, self._INPUT_PX) for five in fives]
        pairs = [(np.stack([crop, crop[:, ::-1]]).astype(np.float32) - 127.5) / 128 for crop in crops]
        return _unit([self._model.run([pair])[0].mean(axis=0) for pair in pairs])


class Dlib:
    """dlib's face recognition network on ONNX Runtime: 128-d vectors, four crops a face."""

    files = ("dlib_face_embedding.onnx",)
    _INPUT_PX = 150
    _PADDINGS = (0.15, 0.3)
    """Borders of the crops that are embedded, each mirrored too.

    Two paddings far apart err less alike than three close ones: as good as (.2, .25, .3) at two thirds of the work, and
    better on small, grey and recompressed faces.
    """

    def __init__(self, weights_dir: Path, threads: int = 1) -> None:
        """Open the network, which takes any number of calls side by side, whatever `threads` is."""
        self._session = open_session(weights_dir / self.files[0])

    def embed(self, image: Image, faces: Sequence[LocatedFace]) -> Vectors:
        """Embed faces: the mean of a face's crops."""
        crops = [face_chips(image, face.mesh.points, self._PADDINGS, self._INPUT_PX) for face in faces]
        return _unit([self._session.run(None, {"x": of_one})[0].mean(axis=0) for of_one in crops])


NETWORKS: dict[str, type[MobileFaceNet | Dlib]] = {"mobilefacenet": MobileFaceNet, "dlib": Dlib}
"""Face networks by their name in the settings."""


def _unit(vectors: Sequence[Floats]) -> Vectors:
    stacked = np.stack(vectors)
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), np.float32)
