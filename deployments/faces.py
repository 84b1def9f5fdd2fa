"""Face deployment over the face engine that the settings name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from configs.settings import Settings
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.engines.faces.insightface import InsightFaceEngine
from deployments.engines.faces.local import LocalFaceEngine
from deployments.engines.faces.locator import FaceLocator
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads
from deployments.weights.manifest import weight_file

_HEALTH_PX = 64


class FacesDeployment(Checked):
    """Implementation of `contracts.albums.FaceFinder`."""

    def __init__(self, settings: Settings | None = None, locator: FaceLocator | None = None) -> None:
        """Open the engine; `locator` is one that another deployment of this process uses too, for the local engine.

        Raises `WeightsMissing` when the engine's weights are not there.
        """
        settings = settings or Settings()
        self._engine = make_engine(settings, locator)
        self._threads = Threads(settings.runtime.threads)

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        """Find the faces of each image; images are searched side by side, so that none waits for a crowd in another."""
        return await self._threads.run_each(self._engine.find, images)

    async def check_health(self) -> None:
        """Search a small black image; raises what the engine raises."""
        await self._threads.check(self._engine.find, np.zeros((_HEALTH_PX, _HEALTH_PX, 3), np.uint8))


def make_engine(settings: Settings, locator: FaceLocator | None = None) -> LocalFaceEngine | InsightFaceEngine:
    """Open the face engine that the settings name. Raises `WeightsMissing` when its weights are not there."""
    if settings.faces.engine == "insightface":
        return InsightFaceEngine(settings.faces.insightface_root)
    network = settings.faces.network
    for name in LocalFaceEngine.files(network):
        weight_file(settings, name)
    return LocalFaceEngine(settings.weights_dir, locator or make_locator(settings), network, settings.runtime.threads)


def make_locator(settings: Settings) -> FaceLocator:
    """Open a face locator with the settings for faces, which hold for portraits too. Raises `WeightsMissing`."""
    for name in FaceLocator.files:
        weight_file(settings, name)
    chosen = settings.faces
    return FaceLocator(settings.weights_dir, settings.runtime.threads, chosen.min_score, chosen.smallest_px)
