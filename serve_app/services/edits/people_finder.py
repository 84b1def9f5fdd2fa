"""Faces and people of an image, found by the segmentation engines in order."""

from __future__ import annotations

from configs.settings import Settings
from deployments.algorithms.images.resizing import shrink
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import Segmentation, Segmenter
from serve_app.services.edits.fallback import check_by, choose_engines, first_success
from serve_app.services.images.store import ImageStore
from serve_app.telemetry import Metrics


class PeopleFinder:
    """Segmentation of an image, shared by cut-outs and avatars."""

    def __init__(self, segmenter: Segmenter, pictures: ImageStore, settings: Settings, metrics: Metrics) -> None:
        self._segmenter = segmenter
        self._pictures = pictures
        self._settings = settings
        self._metrics = metrics

    async def find(self, image: Image, engine: str | None = None) -> tuple[str, Segmentation]:
        """Segment the image. -> the engine that did it, what it found, in pixels of the image as it saw it.

        Engines look at no more than `settings.segmentation.max_px`. `engine`: this one only. Raises what
        `choose_engines` and engines raise.
        """
        chosen = self._settings.segmentation
        small = await self._pictures.run_in_thread(lambda: shrink(image, chosen.max_px))
        return await first_success(
            choose_engines(chosen.engines, engine),
            lambda engine: self._segmenter.segment_portrait(engine, small),
            deadline_s=self._settings.deadlines.segment_s,
            each_s=chosen.engine_timeout_s,
            note=lambda engine, outcome: self._metrics.providers.labels("segmentation", engine, outcome).inc(),
            check=check_by(self._segmenter, "segmentation"),
        )
