"""Segmentation deployment over the local models and the vendors that find faces."""

from __future__ import annotations

import numpy as np

from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import LOCAL_SEGMENTATION, Segmentation
from deployments.engines.faces.locator import FaceLocator
from deployments.engines.segmentation.local import LocalSegmenter
from deployments.faces import make_locator
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads
from deployments.providers import open_face_provider
from deployments.providers.pool import ProviderPool
from deployments.weights.manifest import weight_file

_HEALTH_PX = 64


class SegmentationDeployment(Checked):
    """Implementation of `contracts.portraits.Segmenter`; masks are computed here, also for faces that a vendor
    found."""

    def __init__(self, settings: Settings | None = None, locator: FaceLocator | None = None) -> None:
        """Open the local models; `locator` is one that another deployment of this process uses too.

        Raises `WeightsMissing` when the local models' weights are not there.
        """
        settings = settings or Settings()
        for name in LocalSegmenter.files:
            weight_file(settings, name)
        threads = settings.runtime.threads
        self._local = LocalSegmenter(settings.weights_dir, locator or make_locator(settings), threads)
        self._providers = ProviderPool(open_face_provider, settings)
        self._threads = Threads(threads)

    async def segment_portrait(self, engine: str, image: Image) -> Segmentation:
        """Find faces by `engine` and segment faces and people.

        Raises `InvalidRequest` for an unknown engine, and what the engine raises.
        """
        if engine == LOCAL_SEGMENTATION:
            return await self._threads.run(self._local.segment, image)
        faces = await (await self._providers.get(engine)).find_faces(image)
        return await self._threads.run(self._local.mask, image, faces)

    async def check_health(self) -> None:
        """Segment a small black image with the local models; vendors are not called, since that would cost."""
        await self._threads.check(self._local.segment, np.zeros((_HEALTH_PX, _HEALTH_PX, 3), np.uint8))

    async def aclose(self) -> None:
        """Close the vendors' connections, which otherwise end with the process."""
        await self._providers.aclose()
