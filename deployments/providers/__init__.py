"""Vendor providers of styles, prompts, faces and avatars: a file each, whose SDK is imported at the first call.

A provider raises `ProviderUnavailable` where another one may do better (quota, time, network, credentials) and
`ProviderRejected` where it would not (the image or the prompt was refused).
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
    """Vendor that redraws images in a style."""

    async def stylize(self, request: StyleTask, style: Style) -> StyledPicture:
        """Redraw the task's image. Raises `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


class PromptProvider(Protocol):
    """Vendor that writes prompts."""

    async def write_prompt(self, image: Image, style: Style) -> str:
        """Write the style's prompt with the image's subject in it. Raises `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


class FaceProvider(Protocol):
    """Vendor that finds faces."""

    async def find_faces(self, image: Image) -> list[SegmentedFace]:
        """Find faces, the most confident first; none is no error. Raises `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


class AvatarProvider(Protocol):
    """Vendor that turns people into animals."""

    async def make_avatar(self, request: AvatarTask, animal: Animal) -> AvatarPicture:
        """Turn the task's people into `animal`. Raises `NoFace`, `ProviderUnavailable`, `ProviderRejected`."""
        ...

    async def aclose(self) -> None: ...


def open_style_provider(name: str, settings: Settings) -> StyleProvider:
    """Open a style provider; imports the vendor's SDK, which may take seconds: call it in a thread.

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
    """Open a prompt provider; see `open_style_provider`."""
    if name == "gemini":
        from deployments.providers.gemini import GeminiPrompter

        return GeminiPrompter(settings.providers, settings.deadlines.prompt_s)
    raise InvalidRequest(f"There is no prompter '{name}'.")


def open_face_provider(name: str, settings: Settings) -> FaceProvider:
    """Open a face provider; see `open_style_provider`."""
    timeout_s = settings.segmentation.engine_timeout_s
    if name == "vision":
        from deployments.providers.vision import VisionFaces

        return VisionFaces(settings.providers, timeout_s)
    if name == "rekognition":
        from deployments.providers.rekognition import RekognitionFaces

        return RekognitionFaces(settings.providers, timeout_s)
    raise InvalidRequest(f"There is no segmentation engine '{name}'.")


def open_avatar_provider(name: str, settings: Settings) -> AvatarProvider:
    """Open an avatar provider; see `open_style_provider`."""
    timeout_s = settings.avatars.engine_timeout_s
    if name == "vertex":
        from deployments.providers.vertex import VertexArtist

        return VertexArtist(settings.providers, timeout_s)
    if name == "bedrock":
        from deployments.providers.bedrock import BedrockArtist

        return BedrockArtist(settings.providers, timeout_s)
    if name == "cloud_function":
        from deployments.providers.cloud_function import CloudFunctionArtist

        return CloudFunctionArtist(settings.providers, timeout_s, settings.fetch, settings.limits)
    raise InvalidRequest(f"There is no avatar engine '{name}'.")
