"""The local face engine: faces where the locator finds them, with dlib's network for who they are."""

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
"""Borders of the crops that are embedded, each mirrored too. Two paddings far apart err less alike than three close
ones: as good as (.2, .25, .3) at two thirds of the work, and better on small, grey and recompressed faces."""


class LocalFaceEngine:
    """`find` may be called from several threads; as many as the locator has run side by side, each on one core."""

    files = (*FaceLocator.files, *FaceEmbedder.files)

    def __init__(self, weights_dir: Path, locator: FaceLocator) -> None:
        """`locator` may be shared with whoever needs faces without knowing whose they are."""
        self._locator = locator
        self._embedder = FaceEmbedder(weights_dir)

    def find(self, image: Image) -> list[Face]:
        """The faces of one picture, the most confident first. The score is ONet's probability, the landmarks are the
        468 of the face mesh."""
        located = self._locator.locate(image)
        return self._describe(image, located) if located else []

    def _describe(self, image: Image, finds: list[LocatedFace]) -> list[Face]:
        crops = [face_chips(image, find.mesh.points, _PADDINGS, self._embedder.input_px) for find in finds]
        faces = []
        for find, own, vector in zip(finds, crops, self._embedder.embed(np.stack(crops)), strict=True):
            points = find.mesh.points
            quality = judge_face(image, own[0], find.box, points, turn_degrees(points), find.certainty)
            x1, y1, x2, y2 = (float(edge) for edge in find.box)
            faces.append(
                Face(
                    bbox=(x1, y1, x2, y2),
                    score=find.probability,
                    quality=quality.value,
                    landmarks=np.ascontiguousarray(points[:, :2]),
                    embedding=vector,
                )
            )
        return faces
