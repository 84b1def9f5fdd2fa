"""Local face engine: the face locator's detections with the vectors of a face network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deployments.algorithms.faces.alignment import face_chips
from deployments.algorithms.faces.quality import judge_face, turn_degrees
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.engines.faces.embedder import NETWORKS
from deployments.engines.faces.locator import FaceLocator, LocatedFace

_QUALITY_PX = 150
_QUALITY_PADDING = 0.15
"""Crop that `judge_face` looks at, whatever network embeds the face."""


class LocalFaceEngine:
    """Face engine `local`. `find` may be called from several threads.

    As many calls as the locator has threads run side by side, each on one core.
    """

    def __init__(
        self, weights_dir: Path, locator: FaceLocator, network: str = "mobilefacenet", threads: int = 1
    ) -> None:
        """Open `network`, one of `NETWORKS`; `locator` may be shared with deployments that need faces without their
        vectors."""
        self._locator = locator
        self._embedder = NETWORKS[network](weights_dir, threads)

    @staticmethod
    def files(network: str) -> tuple[str, ...]:
        """List the weight files of the engine with `network`."""
        return (*FaceLocator.files, *NETWORKS[network].files)

    def find(self, image: Image) -> list[Face]:
        """Find the faces of one image, the most confident first. The score is ONet's probability, the landmarks are the
        468 of the face mesh."""
        located = self._locator.locate(image)
        return self.describe(image, located) if located else []

    def describe(self, image: Image, located: list[LocatedFace]) -> list[Face]:
        """Assess and embed faces of `image` that are located, at least one."""
        vectors = self._embedder.embed(image, located)
        faces = []
        for face, vector in zip(located, vectors, strict=True):
            points = face.mesh.points
            chip = face_chips(image, points, (_QUALITY_PADDING,), _QUALITY_PX)[0]
            quality = judge_face(image, chip, face.box, points, turn_degrees(points), face.certainty)
            x1, y1, x2, y2 = (float(edge) for edge in face.box)
            faces.append(
                Face(
                    bbox=(x1, y1, x2, y2),
                    score=face.probability,
                    quality=quality.value,
                    landmarks=np.ascontiguousarray(points[:, :2]),
                    embedding=vector,
                )
            )
        return faces
