"""Where faces are and how they lie: detector, verifier and face mesh put together.

A face is believed when three networks agree: the detector finds it, MTCNN's ONet, shown it upright, is sure of it, and
the face mesh sees a face there whose eyes, nose and mouth lie where ONet has them. That agreement is also what tells a
face from the same face upside down, which each network alone often accepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deployments.algorithms.faces.alignment import five_points, roll_of
from deployments.algorithms.faces.boxes import suppress_overlaps
from deployments.algorithms.faces.quality import landmark_agreement, landmark_disagreement
from deployments.algorithms.images.affine import bounding_square
from deployments.contracts.arrays import Floats, Image
from deployments.engines.faces.detector import Candidates, FaceDetector, FaceVerifier
from deployments.engines.faces.mesh import FaceMesh, Mesh

_WORTH_A_LOOK = 0.3
"""ONet's probability under which a candidate is dropped at once."""
_MIN_PRESENCE = 0.1
"""Where the mesh sees no face at all, ONet was wrong: fruit, pumpkins, brushes."""
_SEEN = 0.5
"""Presence from which on the mesh lies on a face."""
_MAX_STRAY = 0.02
"""In widths across the eyes; see `LocatedFace.disagreement`."""
_TURNED_GRID = 2
"""Windows along the longer side when a picture is searched turned: three more searches must stay affordable."""


@dataclass(frozen=True, slots=True)
class LocatedFace:
    """A possible face and what the networks say of it."""

    box: Floats
    detection: float
    probability: float
    """ONet's."""
    mesh: Mesh
    roll: float
    """Radians, clockwise."""
    five: Floats
    """Eyes, nose and mouth corners by ONet, `float32[5, 2]`."""

    @property
    def disagreement(self) -> float:
        return landmark_disagreement(self.mesh.points, self.five)

    @property
    def certainty(self) -> float:
        return self.mesh.presence * landmark_agreement(self.mesh.points, self.five)

    @property
    def confidence(self) -> float:
        """0 to 1; decides between finds in the same place."""
        return self.detection * self.probability * self.certainty

    @property
    def is_clear(self) -> bool:
        """All three agree."""
        return self.mesh.presence >= _SEEN and self.disagreement <= 0.12

    @property
    def is_certain(self) -> bool:
        """No doubt that this is a face, and that the picture is upright. Of clear upright faces 97 % are; of faces in
        turned pictures none was."""
        sure = self.detection >= 0.75 and self.probability >= 0.99 and self.mesh.presence >= 0.9
        return sure and self.disagreement <= 0.08 and abs(self.roll) < np.pi / 4


class FaceLocator:
    """`locate` may be called from several threads, `threads` of which run side by side, each on one core."""

    files = (*FaceDetector.files, *FaceVerifier.files, *FaceMesh.files)

    def __init__(self, weights_dir: Path, threads: int = 1, min_score: float = 0.8, smallest_px: int = 24) -> None:
        """`min_score`: ONet's probability from which on a find is a face. `smallest_px`: see `FaceDetector`."""
        self._detector = FaceDetector(weights_dir, threads, smallest_px=smallest_px)
        self._verifier = FaceVerifier(weights_dir)
        self._mesh = FaceMesh(weights_dir, threads)
        self._min_score = min_score

    def locate(self, image: Image) -> list[LocatedFace]:
        """The faces of one picture, the most probable first."""
        finds = self._inspect(image, self._detector.detect(image))
        if not any(find.is_certain for find in finds):
            for turns in (1, 2, 3):
                turned = self._inspect(image, self._detector.detect(image, turns, _TURNED_GRID))
                finds += [find for find in turned if find.is_clear]
        if not finds:
            return []
        boxes = np.stack([find.box for find in finds])
        confidence = np.array([find.confidence for find in finds], np.float32)
        kept = [finds[i] for i in suppress_overlaps(boxes, confidence, max_iou=0.3, max_contained=0.6)]
        return sorted(kept, key=lambda find: -find.probability)

    def settled_mesh(self, image: Image, face: LocatedFace) -> Mesh:
        """The mesh fitted once more, at its own place and turn: exact where the detector's box was rough.

        Not taken where it moves away from ONet's points: half a face behind another head is drawn onto that head.
        """
        roll = roll_of(five_points(face.mesh.points)[:2])
        centre, side = bounding_square(face.mesh.points[:, :2], roll)
        mesh = self._mesh.fit(image, centre, side, roll)
        strays = landmark_disagreement(mesh.points, face.five) > face.disagreement + _MAX_STRAY
        return face.mesh if strays or mesh.presence < min(face.mesh.presence, _SEEN) else mesh

    def _inspect(self, image: Image, candidates: Candidates) -> list[LocatedFace]:
        """The candidates that are faces."""
        boxes = candidates.boxes
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
        rolls = candidates.rolls
        chances, fives = self._verifier.verify(image, list(centres), sides.tolist(), rolls)
        finds = []
        for i in np.flatnonzero(chances >= _WORTH_A_LOOK):
            mesh = self._mesh.fit(image, centres[i], float(sides[i]), rolls[i])
            find = LocatedFace(boxes[i], float(candidates.scores[i]), float(chances[i]), mesh, rolls[i], fives[i])
            if not find.is_certain:
                find = max(find, self._look_again(image, find), key=lambda seen: seen.confidence)
            if find.probability >= self._min_score and find.mesh.presence >= _MIN_PRESENCE:
                finds.append(find)
        return finds

    def _look_again(self, image: Image, find: LocatedFace) -> LocatedFace:
        """The same face at the place and the turn of its landmarks: the detector's are rough for tilted faces."""
        roll = roll_of(five_points(find.mesh.points)[:2])
        centre, side = bounding_square(find.mesh.points[:, :2], roll)
        chances, fives = self._verifier.verify(image, [centre], [side], [roll])
        mesh = self._mesh.fit(image, centre, side, roll)
        box = np.concatenate([centre - side / 2, centre + side / 2])
        return LocatedFace(box, find.detection, float(chances[0]), mesh, roll, fives[0])
