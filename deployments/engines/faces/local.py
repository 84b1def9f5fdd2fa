"""Local face engine: the face locator's detections with dlib's face vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deployments.algorithms.faces.alignment import face_chips
from deployments.algorithms.faces.quality import judge_face, turn_degrees
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.engines.faces.embedder import FaceEmbedder
from deployments.engines.faces.locator import FaceLocator, LocatedFace

_PADDINGS = (0.15, 0.3)
"""Borders of the crops that are embedded, each mirrored too.

Two paddings far apart err less alike than three close ones: as good as (.2, .25, .3) at two thirds of the work, and
better on small, grey and recompressed faces.
"""


class LocalFaceEngine:
    """Face engine `local`. `find` may be called from several threads.

    As many calls as the locator has threads run side by side, each on one core.
    """

    files = (*FaceLocator.files, *FaceEmbedder.files)

    def __init__(self, weights_dir: Path, locator: FaceLocator) -> None:
        """Open the embedder; `locator` may be shared with deployments that need faces without their vectors."""
        self._locator = locator
        self._embedder = FaceEmbedder(weights_dir)

    def find(self, image: Image) -> list[Face]:
        """Find the faces of one image, the most confident first. The score is ONet's probability, the landmarks are the
        468 of the face mesh."""
        located = self._locator.locate(image)
        return self._describe(image, located) if located else []

    def _describe(self, image: Image, detections: list[LocatedFace]) -> list[Face]:
        crops = [face_chips(image, face.mesh.points, _PADDINGS, self._embedder.input_px) for face in detections]
        faces = []
        for face, own, vector in zip(detections, crops, self._embedder.embed(np.stack(crops)), strict=True):
            points = face.mesh.points
            quality = judge_face(image, own[0], face.box, points, turn_degrees(points), face.certainty)
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
