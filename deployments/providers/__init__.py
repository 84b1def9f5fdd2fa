"""Vendors that redraw pictures, find faces or write prompts: a file each, whose SDK is imported when somebody asks for
it.

A provider raises `ProviderUnavailable` where another one may do better (quota, time, network, credentials) and
`ProviderRejected` where it would not (the picture or the prompt was refused).
"""

from __future__ import annotations

from typing import Protocol

from configs.settings import Settings
from configs.styles import Style
from deployments.assets.animals import Animal
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import AvatarPicture, AvatarTask, SegmentedFace
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.errors import InvalidRequest


class StyleProvider(Protocol):
    async def stylize(self, request: StyleTask, style: Style) -> StyledPicture:
        """Raises `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


class PromptProvider(Protocol):
    async def write_prompt(self, image: Image, style: Style) -> str:
        """The style's prompt with the picture's subject in it. Raises `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


class FaceProvider(Protocol):
    async def find_faces(self, image: Image) -> list[SegmentedFace]:
        """The most confident first; none where nobody is. Raises `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


class AvatarProvider(Protocol):
    async def make_avatar(self, request: AvatarTask, animal: Animal) -> AvatarPicture:
        """Raises `NoFace`, `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


def open_style_provider(name: str, settings: Settings) -> StyleProvider:
    """Imports the vendor's SDK, which may take seconds: call it in a thread.

    Raises `ProviderUnavailable` when the SDK or a credential is missing, `InvalidRequest` for an unknown name.
    """
    timeout_s = settings.styles.engine_timeout_s
    if name == "sdwebui":
        from deployments.providers.sdwebui import WebUiStylist

        return WebUiStylist(settings.providers, timeout_s, settings.styles.diffusion_pixels)
    if name == "gemini":
        from deployments.providers.gemini import GeminiStylist

        return GeminiStylist(settings.providers, timeout_s)
    if name == "vertex":
        from deployments.providers.vertex import VertexStylist

        return VertexStylist(settings.providers, timeout_s)
    if name == "bedrock":
        from deployments.providers.bedrock import BedrockStylist

        return BedrockStylist(settings.providers, timeout_s)
    raise InvalidRequest(f"There is no style engine '{name}'.")


def open_prompt_provider(name: str, settings: Settings) -> PromptProvider:
    """As `open_style_provider`."""
    if name == "gemini":
        from deployments.providers.gemini import GeminiPrompter

        return GeminiPrompter(settings.providers, settings.deadlines.prompt_s)
    raise InvalidRequest(f"There is no prompter '{name}'.")


def open_face_provider(name: str, settings: Settings) -> FaceProvider:
    """As `open_style_provider`."""
    timeout_s = settings.segmentation.engine_timeout_s
    if name == "vision":
        from deployments.providers.vision import VisionFaces

        return VisionFaces(settings.providers, timeout_s)
    if name == "rekognition":
        from deployments.providers.rekognition import RekognitionFaces

        return RekognitionFaces(settings.providers, timeout_s)
    raise InvalidRequest(f"There is no segmentation engine '{name}'.")


def open_avatar_provider(name: str, settings: Settings) -> AvatarProvider:
    """As `open_style_provider`."""
    timeout_s = settings.avatars.engine_timeout_s
    if name == "vertex":
        from deployments.providers.vertex import VertexArtist

        return VertexArtist(settings.providers, timeout_s)
    if name == "bedrock":
        from deployments.providers.bedrock import BedrockArtist

        return BedrockArtist(settings.providers, timeout_s)
    if name == "cloud_function":
        from deployments.providers.cloud_function import CloudFunctionArtist

        return CloudFunctionArtist(settings.providers, timeout_s, settings.fetch)
    raise InvalidRequest(f"There is no avatar engine '{name}'.")
