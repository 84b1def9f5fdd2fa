"""Immich's facial recognition: faces of a picture with the vectors that it groups people by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.settings import Settings
from deployments.algorithms.faces.centring import centre, load_mean
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.albums import Face, FaceFinder
from deployments.contracts.arrays import Vectors
from deployments.errors import BadRequest, InvalidRequest
from deployments.kit.threads import Threads
from serve_app.services.immich.entries import Entries
from serve_app.services.immich.tasks import Given, check_name, spell

BUFFALO = "buffalo_l"
OWN_NAME = "darkroom-{network}"
"""Name of a face network that Immich knows no name for."""
_MIN_SCORE = 0.7
"""Immich's own, where the request says none."""
_MOST_PX = 4096
"""Longest side at which `buffalo_l` sees a picture. Immich sends previews, which have less; a picture as large as the
limits allow would be 200 MB on its way to the replica."""


class Faces:
    """Task `facial-recognition`: detection and recognition, in any order -> boxes, scores, vectors as text."""

    def __init__(self, finder: FaceFinder, settings: Settings, threads: Threads) -> None:
        self._finder = finder
        self._threads = threads
        faces = settings.faces
        is_local = faces.engine == "local"
        self._mean = load_mean(faces.network) if is_local else None
        self._most_px = settings.limits.preview_px if is_local else _MOST_PX
        """The local network sees pictures as it does in albums, for which it was measured."""
        self._served: Sequence[str] = (BUFFALO,)
        if is_local:
            own = (OWN_NAME.format(network=faces.network), *settings.immich.faces_as)
            self._served = () if self._mean is None else own

    def check(self, entries: Entries, *, has_picture: bool, has_text: bool) -> None:
        """See `tasks.Task`."""
        if not entries.keys() <= {"detection", "recognition"} or "recognition" not in entries:
            raise InvalidRequest("entries, facial-recognition: name `detection` and `recognition`.")
        if "detection" not in entries:
            raise BadRequest("facial-recognition: `recognition` needs the faces of `detection`: name it too.")
        for entry in entries.values():
            check_name("face model", entry.name, self._served)
        entries["detection"].share("minScore", _MIN_SCORE)
        if not has_picture:
            raise BadRequest("facial-recognition needs a picture: send `image`.")

    async def answer(self, entries: Entries, given: Given) -> Any:
        """-> a dict for each face of at least `minScore`, the most certain first"""
        picture = given.seen("facial-recognition")
        small = await self._threads.run(shrink, picture, self._most_px)
        [found] = await self._finder.find_faces([small])
        least = entries["detection"].share("minScore", _MIN_SCORE)
        faces = [face for face in found if face.score >= least]
        scale = picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]
        return [
            {"boundingBox": _box(face, scale), "embedding": spell(vector), "score": round(float(face.score), 6)}
            for face, vector in zip(faces, self._vectors(faces), strict=True)
        ]

    def _vectors(self, faces: Sequence[Face]) -> Sequence[Vectors]:
        if not faces:
            return []
        vectors = np.stack([face.embedding for face in faces])
        return list(vectors if self._mean is None else centre(vectors, self._mean))


def _box(face: Face, scale: tuple[float, float]) -> dict[str, int]:
    """Box in pixels of the picture as it was sent. Whole ones: Immich's columns hold integers."""
    (x1, y1, x2, y2), (across, down) = face.bbox, scale
    return {"x1": round(x1 * across), "y1": round(y1 * down), "x2": round(x2 * across), "y2": round(y2 * down)}
