"""Embedding deployment over the image embedding engine that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from configs.settings import Embedding, Settings
from deployments.algorithms.images.views import distinct_views
from deployments.contracts.arrays import Vectors
from deployments.engines.embedding.efficientnet import EfficientNetEmbedder
from deployments.engines.embedding.open_clip import OpenClipEmbedder
from deployments.kit.call_batching import CallBatcher
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads
from deployments.weights.manifest import weight_file

_CALL_VIEWS = 8
"""Views that one core embeds at a time: a call is spread over the cores, and none holds one for long. Of open_clip's
networks eight views cost a third less than one by one (ViT-B-32: 125 ms of a core each, and 180), so that calls of one
view wait for the next pass and share it (`python -m bench.speed.open_clip`)."""
_GPU_CALLS = 8
"""Calls that a GPU embeds together: chunks of some pictures each, of seven views. More of those that are smaller, such
as one view of one picture for Immich, as long as they fit one pass."""
_GPU_VIEWS = 256
"""Views of one pass over a GPU: 40 MB of pixels, and what a network of this size computes with fits its share."""


class EmbeddingDeployment(Checked):
    """Implementation of `contracts.albums.ImageEmbedder`."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Open the engine. Raises `WeightsMissing` when its weights are not there."""
        settings = settings or Settings()
        self._engine = make_engine(settings)
        self._threads = Threads(settings.runtime.threads)
        is_on_gpu = isinstance(self._engine, OpenClipEmbedder) and self._engine.is_on_gpu
        together = settings.embedding.calls_together or (_GPU_CALLS if is_on_gpu else 1)
        room = _GPU_VIEWS if is_on_gpu else 0
        batcher = partial(CallBatcher[NDArray[np.uint8], Vectors], self._embed_together, size=len, verb="embed_images")
        self._batcher = batcher(together, room=room) if together > 1 else None
        gains = isinstance(self._engine, OpenClipEmbedder)
        lanes = settings.runtime.threads
        self._small = batcher(1, room=_CALL_VIEWS, lanes=lanes) if gains else None
        """Calls that fill no pass of a core, where they gain from each other's company."""

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
        if self._batcher:
            return (await self._batcher.submit(views[kept]))[places]
        if self._small and len(kept) < _CALL_VIEWS:
            return (await self._small.submit(views[kept]))[places]
        parts = _parts(views[kept], _CALL_VIEWS)
        return np.concatenate(await self._threads.run_each(self._engine.embed, parts))[places]

    async def _embed_together(self, calls: Sequence[NDArray[np.uint8]]) -> list[Vectors]:
        """Embed the views of several calls as if they were one's. -> the vectors of each"""
        passes = _parts(np.concatenate(calls), _GPU_VIEWS)
        vectors = np.concatenate([await self._threads.run(self._engine.embed, views) for views in passes])
        return np.split(vectors, np.cumsum([len(views) for views in calls])[:-1])

    async def check_health(self) -> None:
        """Embed one black view; raises what the engine raises."""
        await self._threads.check(self._engine.embed, np.zeros((1, self.input_px, self.input_px, 3), np.uint8))


def _parts(views: NDArray[np.uint8], most: int) -> list[NDArray[np.uint8]]:
    return [views[start : start + most] for start in range(0, len(views), most)]


def make_open_clip(chosen: Embedding) -> OpenClipEmbedder:
    """Open the open_clip engine, which embedding and tagging share. Raises `Unavailable`, `WeightsMissing`."""
    return OpenClipEmbedder(
        chosen.open_clip_model,
        chosen.open_clip_pretrained,
        chosen.device,
        chosen.dtype,
        chosen.memory_fraction,
    )


def make_engine(settings: Settings) -> EfficientNetEmbedder | OpenClipEmbedder:
    """Open the embedding engine that the settings name. Raises `WeightsMissing`."""
    chosen = settings.embedding
    if chosen.engine == "open_clip":
        return make_open_clip(chosen)
    for name in EfficientNetEmbedder.files:
        weight_file(settings, name)
    return EfficientNetEmbedder(settings.weights_dir)
