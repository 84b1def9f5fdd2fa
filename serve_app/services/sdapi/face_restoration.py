"""Face restoration: which network is meant, and an image with the faces that it restored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import numpy as np

from deployments.algorithms.a1111.face_pasting import align_faces, lay_faces_over
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.albums import Face, FaceFinder
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Diffuser, ModelCatalogue, ModelFile
from deployments.errors import DarkroomError

GFPGAN, CODEFORMER = "GFPGAN", "CodeFormer"
LICENCES = {GFPGAN: "Apache License 2.0", CODEFORMER: "S-Lab License 1.0, for non-commercial use only"}
"""Licences of the networks and of the files that their authors published."""
_CODEFORMER_FILE = "codeformer-v0.1.0.pth"
MOST_FACES = 20
"""Faces of one image that are restored, the largest ones: each takes seconds on a CPU."""
_MAX_SHOWN = 80
_MOST_PX = 4096
"""Longest side at which faces are looked for."""


@dataclass(frozen=True, slots=True)
class RestorerChoice:
    """A restorer by the name of its file, empty where there is none; then `reason` says why."""

    name: str
    reason: str = ""


def choose_restorer(catalogue: ModelCatalogue, kind: str) -> RestorerChoice:
    """Choose the file of a kind of restorer, as the original names it; of several the last by name, the newest."""
    if kind.lower() == CODEFORMER.lower():
        return _choose_codeformer(catalogue)
    if kind.lower() != GFPGAN.lower():
        return RestorerChoice("", f"there is no face restorer {kind[:_MAX_SHOWN]!r} here")
    if file := _newest(catalogue, GFPGAN):
        return RestorerChoice(file.name)
    return RestorerChoice("", "there is no GFPGAN network in the folder GFPGAN of the models (GFPGANv1.4.pth)")


def _choose_codeformer(catalogue: ModelCatalogue) -> RestorerChoice:
    """Choose CodeFormer's file where its package is there too: its licence keeps both out of this server."""
    file = _newest(catalogue, CODEFORMER)
    if file and not file.needs:
        return RestorerChoice(file.name)
    is_here = f"'{file.name}' is not used, and its" if file else "CodeFormer's"
    missing = f"needs the package {file.needs}" if file else f"needs {_CODEFORMER_FILE} in the folder Codeformer"
    return RestorerChoice(
        "",
        f"{is_here} licence is for non-commercial use only, so CodeFormer is not part of this server; where that "
        f"licence suits you it {missing}; GFPGAN needs neither",
    )


def restorers_here(catalogue: ModelCatalogue) -> dict[str, str]:
    """Kinds of restorers that can run, and the licence of each."""
    return {kind: licence for kind, licence in LICENCES.items() if choose_restorer(catalogue, kind).name}


@dataclass(frozen=True, slots=True)
class FaceRestoration:
    """Restores the faces of images by one restorer."""

    diffuser: Diffuser
    finder: FaceFinder
    restorer: str
    """Name of its file."""
    weight: float = 0.5
    """How far CodeFormer follows the image, 0 to 1."""

    async def restore(self, image: Image, visibility: float = 1.0) -> tuple[Image, tuple[str, ...]]:
        """Restore the faces of an image, laid over it by a share of 0 to 1. -> image, warnings

        An image without a face stays as it is. Raises what the engines raise.
        """
        faces = await self._find(image)
        aligned, more = await asyncio.to_thread(align_faces, image, faces, MOST_FACES)
        if not aligned:
            return image, ()
        pixels = [face.pixels for face in aligned]
        restored = await self.diffuser.restore_faces(pixels, self.restorer, self.weight)
        made = await asyncio.to_thread(lay_faces_over, image, aligned, restored, visibility)
        if more:
            return made, (f"Of an image's faces the largest {MOST_FACES} were restored, {more} were left as they are",)
        return made, ()

    async def _find(self, image: Image) -> list[Face]:
        """Find the faces of an image, of a large one in a smaller copy: of 64 megapixels the replica that looks for
        faces would get 200 MB."""
        small = await asyncio.to_thread(shrink, image, _MOST_PX)
        [faces] = await self.finder.find_faces([small])
        if small is image:
            return faces
        across, down = image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]
        return [_scaled(face, across, down) for face in faces]

    async def try_to_restore(self, image: Image) -> tuple[Image, tuple[str, ...]]:
        """Restore as `restore` does; an error leaves the image as it is and is a warning: the image is worth more."""
        try:
            return await self.restore(image)
        except DarkroomError as error:
            return image, (f"Faces were not restored: {error.message}",)


def _scaled(face: Face, across: float, down: float) -> Face:
    left, top, right, bottom = face.bbox
    scale = np.array([across, down], np.float32)
    points = np.asarray(face.landmarks, np.float32)[:, :2] * scale
    return replace(face, bbox=(left * across, top * down, right * across, bottom * down), landmarks=points)


def _newest(catalogue: ModelCatalogue, kind: str) -> ModelFile | None:
    files = (one for one in catalogue.restorers if one.alias == kind)
    return max(files, key=lambda one: one.name, default=None)
