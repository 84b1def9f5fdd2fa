"""Face locator: detector, verifier and face mesh put together.

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
from deployments.algorithms.faces.turned_image import TurnedImage
from deployments.algorithms.images.affine import bounding_square
from deployments.contracts.arrays import Floats, Image
from deployments.engines.faces.detector import Candidates, FaceDetector, FaceVerifier
from deployments.engines.faces.mesh import FaceMesh, Mesh

_MIN_PROBABILITY = 0.3
"""ONet's probability under which a candidate is dropped at once."""
_MIN_PRESENCE = 0.1
"""Presence under which a candidate is dropped: where the mesh sees no face at all, ONet was wrong: fruit, pumpkins,
brushes."""
_CLEAR_PRESENCE = 0.5
"""Presence from which on the mesh lies on a face."""
_MAX_LANDMARK_DRIFT = 0.02
"""Growth of `LocatedFace.disagreement` up to which a refined mesh is taken, in widths across the eyes."""
_TURNED_GRID = 2
"""Windows along the longer side when an image is searched turned: three more searches must stay affordable."""


@dataclass(frozen=True, slots=True)
class LocatedFace:
    """A detected face and the networks' judgement of it."""

    box: Floats
    detection: float
    probability: float
    """ONet's probability of a face, 0 to 1."""
    mesh: Mesh
    roll: float
    """Radians by which the face is turned clockwise."""
    five: Floats
    """Eyes, nose and mouth corners by ONet, `float32[5, 2]`."""

    @property
    def disagreement(self) -> float:
        """Distance between the mesh's landmarks and ONet's, in widths across the eyes."""
        return landmark_disagreement(self.mesh.points, self.five)

    @property
    def certainty(self) -> float:
        """Presence of the mesh, weighted by its agreement with ONet's landmarks, 0 to 1."""
        return self.mesh.presence * landmark_agreement(self.mesh.points, self.five)

    @property
    def confidence(self) -> float:
        """Product of all scores, 0 to 1; decides between detections in the same place."""
        return self.detection * self.probability * self.certainty

    @property
    def is_clear(self) -> bool:
        """Whether all three networks agree."""
        return self.mesh.presence >= _CLEAR_PRESENCE and self.disagreement <= 0.12

    @property
    def is_certain(self) -> bool:
        """Whether this is a face, and the image upright, without doubt. Of clear upright faces 97 % are; of faces in
        turned images none was."""
        sure = self.detection >= 0.75 and self.probability >= 0.99 and self.mesh.presence >= 0.9
        return sure and self.disagreement <= 0.08 and abs(self.roll) < np.pi / 4


class FaceLocator:
    """Face locator. `locate` may be called from several threads, `threads` of which run side by side, each on one
    core."""

    files = (*FaceDetector.files, *FaceVerifier.files, *FaceMesh.files)

    def __init__(self, weights_dir: Path, threads: int = 1, min_score: float = 0.8, smallest_px: int = 24) -> None:
        """Open the networks; `min_score`: ONet's probability from which on a detection is a face. `smallest_px`: see
        `FaceDetector`."""
        self._detector = FaceDetector(weights_dir, threads, smallest_px=smallest_px)
        self._verifier = FaceVerifier(weights_dir)
        self._mesh = FaceMesh(weights_dir, threads)
        self._min_score = min_score

    def locate(self, image: Image) -> list[LocatedFace]:
        """Locate the faces of one image, the most probable first."""
        searched = TurnedImage(image)
        detections = self._inspect(image, self._detector.detect(searched))
        if not any(face.is_certain for face in detections):
            for turns in (1, 2, 3):
                turned = self._inspect(image, self._detector.detect(searched, turns, _TURNED_GRID))
                detections += [face for face in turned if face.is_clear]
        if not detections:
            return []
        boxes = np.stack([face.box for face in detections])
        confidence = np.array([face.confidence for face in detections], np.float32)
        kept = [detections[i] for i in suppress_overlaps(boxes, confidence, max_iou=0.3, max_contained=0.6)]
        return sorted(kept, key=lambda face: -face.probability)

    def refined_mesh(self, image: Image, face: LocatedFace) -> Mesh:
        """Fit the mesh once more, at its own place and turn: exact where the detector's box was rough.

        The first mesh is returned where the second moves away from ONet's points: half a face behind another head is
        drawn onto that head.
        """
        roll = roll_of(five_points(face.mesh.points)[:2])
        centre, side = bounding_square(face.mesh.points[:, :2], roll)
        mesh = self._mesh.fit(image, centre, side, roll)
        drifts = landmark_disagreement(mesh.points, face.five) > face.disagreement + _MAX_LANDMARK_DRIFT
        return face.mesh if drifts or mesh.presence < min(face.mesh.presence, _CLEAR_PRESENCE) else mesh

    def _inspect(self, image: Image, candidates: Candidates) -> list[LocatedFace]:
        """Verify the candidates; -> those that are faces."""
        boxes = candidates.boxes
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
        rolls = candidates.rolls
        chances, fives = self._verifier.verify(image, list(centres), sides.tolist(), rolls)
        detections = []
        for i in np.flatnonzero(chances >= _MIN_PROBABILITY):
            mesh = self._mesh.fit(image, centres[i], float(sides[i]), rolls[i])
            face = LocatedFace(boxes[i], float(candidates.scores[i]), float(chances[i]), mesh, rolls[i], fives[i])
            if not face.is_certain:
                face = max(face, self._refine(image, face), key=lambda seen: seen.confidence)
            if face.probability >= self._min_score and face.mesh.presence >= _MIN_PRESENCE:
                detections.append(face)
        return detections

    def _refine(self, image: Image, face: LocatedFace) -> LocatedFace:
        """Verify a face again at the place and the turn of its landmarks: the detector's are rough for tilted faces."""
        roll = roll_of(five_points(face.mesh.points)[:2])
        centre, side = bounding_square(face.mesh.points[:, :2], roll)
        chances, fives = self._verifier.verify(image, [centre], [side], [roll])
        mesh = self._mesh.fit(image, centre, side, roll)
        box = np.concatenate([centre - side / 2, centre + side / 2])
        return LocatedFace(box, face.detection, float(chances[0]), mesh, roll, fives[0])
