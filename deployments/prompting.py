"""Prompting deployment: prompts for image models, by a style's template or a vendor's text model."""

from __future__ import annotations

from configs.settings import Settings
from configs.styles import load_styles
from deployments.algorithms.styles.prompt import write_prompt
from deployments.contracts.arrays import Image
from deployments.contracts.styles import TEMPLATE_PROMPTER
from deployments.errors import InvalidRequest
from deployments.kit.checks import Checked
from deployments.providers import open_prompt_provider
from deployments.providers.pool import ProviderPool


class PromptingDeployment(Checked):
    """Implementation of `contracts.styles.Prompter`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._styles = load_styles()
        self._providers = ProviderPool(open_prompt_provider, self._settings)

    async def write_prompt(self, image: Image, style: str) -> str:
        """Write the prompt of a style for an image.

        Raises `InvalidRequest` for an unknown style, and what the provider raises.
        """
        known = self._styles.get(style)
        if known is None:
            raise InvalidRequest(f"There is no style '{style}'.")
        name = self._settings.styles.prompter
        if name == TEMPLATE_PROMPTER:
            return write_prompt(known.diffusion.prompt)
        return await (await self._providers.get(name)).write_prompt(image, known)

    async def check_health(self) -> None:
        """Do nothing: a vendor is not called, since that would cost, and nothing else can break."""

    async def aclose(self) -> None:
        """Close the vendor's connections, which otherwise end with the process."""
        await self._providers.aclose()
