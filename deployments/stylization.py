"""Stylization deployment over the local NPR filters and vendors' image models."""

from __future__ import annotations

import numpy as np

from configs.settings import Settings
from configs.styles import Style, load_styles
from deployments.contracts.styles import LOCAL_ENGINE, StyledPicture, StyleTask
from deployments.engines.drawn.styles import LocalStylist
from deployments.errors import InvalidRequest
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads
from deployments.providers import open_style_provider
from deployments.providers.pool import ProviderPool


class StylizingDeployment(Checked):
    """Implementation of `contracts.styles.Stylist`."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self._styles = load_styles()
        self._local = LocalStylist()
        self._providers = ProviderPool(open_style_provider, settings)
        self._threads = Threads(settings.runtime.threads)

    async def stylize(self, engine: str, request: StyleTask) -> StyledPicture:
        """Redraw an image in a style by `engine`.

        Raises `InvalidRequest` for an unknown style or engine, and what the engine raises.
        """
        style = self._styles.get(request.style)
        if style is None:
            raise InvalidRequest(f"There is no style '{request.style}'.")
        if engine == LOCAL_ENGINE:
            return await self._draw(request, style)
        return await (await self._providers.get(engine)).stylize(request, style)

    async def check_health(self) -> None:
        """Draw a small image with the local engine; vendors are not called, since that would cost."""
        style = next(iter(self._styles.values()), None)
        if style is not None:
            await self._threads.check(self._local.render, np.full((32, 32, 3), 128, np.uint8), style)

    async def aclose(self) -> None:
        """Close the vendors' connections, which otherwise end with the process."""
        await self._providers.aclose()

    async def _draw(self, request: StyleTask, style: Style) -> StyledPicture:
        image = await self._threads.run(self._local.render, request.image, style, request.strength, request.seed)
        return StyledPicture(image)
