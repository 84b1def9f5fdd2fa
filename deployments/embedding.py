"""Embedding deployment over the image embedding engine that the settings name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from deployments.algorithms.images.views import distinct_views
from deployments.contracts.arrays import Vectors
from deployments.engines.embedding.efficientnet import EfficientNetEmbedder
from deployments.engines.embedding.open_clip import OpenClipEmbedder
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads
from deployments.weights.manifest import weight_file

_CALL_VIEWS = 8
"""Views that one core embeds at a time: a call is spread over the cores, and none holds one for long."""


class EmbeddingDeployment(Checked):
    """Implementation of `contracts.albums.ImageEmbedder`."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Open the engine. Raises `WeightsMissing` when its weights are not there."""
        settings = settings or Settings()
        self._engine = make_engine(settings)
        self._threads = Threads(settings.runtime.threads)

    @property
    def input_px(self) -> int:
        """Side of the square views that the engine takes, pixels."""
        return self._engine.input_px

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._engine.dim

    async def embed_images(self, views: NDArray[np.uint8]) -> Vectors:
        """Embed views `uint8[N, S, S, 3]` as raw `float32[N, D]`; equal ones are embedded once."""
        if not len(views):
            return np.empty((0, self.dim), np.float32)
        kept, places = distinct_views(views)
        parts = [views[kept[start : start + _CALL_VIEWS]] for start in range(0, len(kept), _CALL_VIEWS)]
        return np.concatenate(await self._threads.run_each(self._engine.embed, parts))[places]

    async def check_health(self) -> None:
        """Embed one black view; raises what the engine raises."""
        await self._threads.check(self._engine.embed, np.zeros((1, self.input_px, self.input_px, 3), np.uint8))


def make_engine(settings: Settings) -> EfficientNetEmbedder | OpenClipEmbedder:
    """Open the embedding engine that the settings name. Raises `WeightsMissing`."""
    chosen = settings.embedding
    if chosen.engine == "open_clip":
        return OpenClipEmbedder(chosen.open_clip_model, chosen.open_clip_pretrained, chosen.device)
    for name in EfficientNetEmbedder.files:
        weight_file(settings, name)
    return EfficientNetEmbedder(settings.weights_dir)
