"""Avatar deployment over the local drawing engine and vendors' image models."""

from __future__ import annotations

from configs.settings import Settings
from deployments.algorithms.faces.sample import sample_portrait
from deployments.assets.animals import load_animals
from deployments.contracts.portraits import LOCAL_AVATARS, AvatarPicture, AvatarTask
from deployments.engines.drawn.avatars import LocalAvatarArtist
from deployments.errors import InvalidRequest
from deployments.kit.checks import Checked
from deployments.kit.threads import Threads
from deployments.providers import open_avatar_provider
from deployments.providers.pool import ProviderPool


class AvatarDeployment(Checked):
    """Implementation of `contracts.portraits.AvatarArtist`."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self._animals = load_animals()
        self._local = LocalAvatarArtist(self._animals)
        self._providers = ProviderPool(open_avatar_provider, settings)
        self._threads = Threads(settings.runtime.threads)

    async def make_avatar(self, engine: str, request: AvatarTask) -> AvatarPicture:
        """Turn the people of a portrait into animals by `engine`.

        Raises `InvalidRequest` for an unknown animal or engine, and what the engine raises.
        """
        animal = self._animals.get(request.animal)
        if animal is None:
            raise InvalidRequest(f"There is no animal '{request.animal}'.")
        if engine == LOCAL_AVATARS:
            return await self._threads.run(self._local.render, request)
        return await (await self._providers.get(engine)).make_avatar(request, animal)

    async def check_health(self) -> None:
        """Draw a small avatar with the local engine; vendors are not called, since that would cost."""
        image, segmentation = sample_portrait()
        animal = next(iter(self._animals), None)
        if animal is not None:
            await self._threads.check(self._local.render, AvatarTask(image, animal, "overlay", segmentation))

    async def aclose(self) -> None:
        """Close the vendors' connections, which otherwise end with the process."""
        await self._providers.aclose()
