"""Text deployment over the text engine that the settings name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.engines.texts.rapid import RapidTextEngine
from deployments.errors import NotDeployed
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads

_HEALTH_PX = 64


class TextsDeployment(Checked):
    """Implementation of `contracts.texts.TextReader`."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Open the engine. Raises `WeightsMissing` when a model that the settings name is not there.

        Without the extra `texts` the replica runs all the same, and refuses: in the compact topology it serves much
        else.
        """
        settings = settings or Settings()
        self._engine: RapidTextEngine | NotDeployed
        try:
            self._engine = RapidTextEngine(settings.texts.max_px, settings.texts.recognition_model)
        except NotDeployed as missing:
            self._engine = missing
        self._threads = Threads(settings.runtime.threads)

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        """Read the texts of each picture; pictures are read side by side. Raises `NotDeployed` without the extra."""
        engine = self._opened()
        return await self._threads.run_each(lambda image: engine.read(image, options), images)

    async def check(self, capability: str) -> None:
        """Check that text can be read. Raises `NotDeployed` without the extra."""
        self._opened()
        await self.check_health()

    async def check_health(self) -> None:
        """Look for text in a small black image; raises what the engine raises. Passes without the extra, since
        starting the replica anew would not bring it."""
        if isinstance(self._engine, RapidTextEngine):
            black = np.zeros((_HEALTH_PX, _HEALTH_PX, 3), np.uint8)
            await self._threads.check(self._engine.read, black, ANY_TEXT)

    def _opened(self) -> RapidTextEngine:
        if isinstance(self._engine, NotDeployed):
            raise NotDeployed(self._engine.message)
        return self._engine
