"""Local segmentation engine: faces and people of an image by models that need no vendor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deployments.algorithms.faces.mesh_landmarks import describe_mesh
from deployments.algorithms.segmentation.face_masks import face_mask
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import Segmentation, SegmentedFace
from deployments.engines.faces.locator import FaceLocator
from deployments.engines.segmentation.person_mask import PersonMask


class LocalSegmenter:
    """Segmentation engine `local`. Its methods may be called from several threads, `threads` of which run side by side,
    each on one core."""

    files = (*FaceLocator.files, *PersonMask.files)

    def __init__(self, weights_dir: Path, locator: FaceLocator, threads: int = 1) -> None:
        """Open the person model; `locator` may be shared with the face engine."""
        self._locator = locator
        self._person = PersonMask(weights_dir, threads)

    def segment(self, image: Image) -> Segmentation:
        """Locate the faces of `image`, `uint8[H, W, 3]`, the most confident first, and make the masks. No face is no
        error."""
        faces = []
        for face in self._locator.locate(image):
            mesh = self._locator.refined_mesh(image, face)
            faces.append(describe_mesh(mesh.points, face.box, face.probability))
        return self.mask(image, faces)

    def mask(self, image: Image, faces: Sequence[SegmentedFace]) -> Segmentation:
        """Make the masks for faces that another engine has found."""
        person = self._person.segment(image, faces)
        return Segmentation(tuple(faces), face_mask(image, faces, person), person)
