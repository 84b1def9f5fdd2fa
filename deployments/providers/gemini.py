"""Gemini API provider: a text model that describes an image, an image model that redraws it."""

from __future__ import annotations

import os

from configs.settings import Providers
from configs.styles import Style
from deployments.algorithms.styles.prompt import clean_subject, plain_prompt, write_prompt
from deployments.contracts.arrays import Image
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.providers.google_genai import GenaiClient
from deployments.providers.policy import check_paid_call, malformed, missing_setting

_VENDOR = "Gemini"
_VARIABLE = "DARKROOM_PROVIDERS__GEMINI_API_KEY"
_SDK_VARIABLES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_MAX_TOKENS = 2048
"""Tokens of an answer; a model's thoughts count too."""
_SUBJECT_WORDS = 40
_ASK = (
    "This photograph will be redrawn in the style '{title}': {description} In one English noun phrase of at most "
    "{words} words, without the style, say what it shows: the main subject, what it does, the setting and the light. "
    "Answer with the phrase alone."
)
_REDRAW = "Redraw this photograph. {prompt}. Keep the composition, the pose and the likeness of whoever is in it."
_AVOID = " Avoid: {negative}."


class GeminiPrompter:
    """Prompt provider over a Gemini text model."""

    def __init__(self, settings: Providers, timeout_s: float) -> None:
        """Open the client. Raises `ProviderUnavailable` without the SDK or a key."""
        self._settings = settings
        self._client = _open(settings, timeout_s, keyless="template")

    async def write_prompt(self, image: Image, style: Style) -> str:
        """Write the style's prompt with what the model sees in the image."""
        check_paid_call(self._settings, _VENDOR, self._settings.gemini_base_url)
        types = self._client.types
        question = _ASK.format(title=style.title, description=style.description, words=_SUBJECT_WORDS)
        config = types.GenerateContentConfig(temperature=0.2, max_output_tokens=_MAX_TOKENS)
        request = self._client.models.generate_content(
            model=self._settings.gemini_text_model, contents=[self._client.part(image), question], config=config
        )
        parts = self._client.parts_of(await self._client.call(request))
        subject = clean_subject(" ".join(part.text for part in parts if part.text and not part.thought))
        if not subject:
            raise malformed(_VENDOR)
        return write_prompt(style.diffusion.prompt, subject)

    async def aclose(self) -> None:
        await self._client.aclose()


class GeminiStylist:
    """Style provider over a Gemini image model."""

    def __init__(self, settings: Providers, timeout_s: float) -> None:
        """Open the client. Raises `ProviderUnavailable` without the SDK or a key."""
        self._settings = settings
        self._client = _open(settings, timeout_s, keyless="opencv")

    async def stylize(self, request: StyleTask, style: Style) -> StyledPicture:
        check_paid_call(self._settings, _VENDOR, self._settings.gemini_base_url)
        prompt = instruction(request)
        image = await self._client.redraw(self._settings.gemini_image_model, request.image, prompt, request.seed)
        return StyledPicture(image, ("Gemini has no setting for the strength.",))

    async def aclose(self) -> None:
        await self._client.aclose()


def instruction(request: StyleTask) -> str:
    """Write the instruction for an image model that edits by words, including what to avoid."""
    text = _REDRAW.format(prompt=plain_prompt(request.prompt).rstrip(" ."))
    negative = plain_prompt(request.negative_prompt)
    return text + (_AVOID.format(negative=negative) if negative else "")


def _open(settings: Providers, timeout_s: float, keyless: str) -> GenaiClient:
    key = settings.gemini_api_key.get_secret_value() if settings.gemini_api_key else None
    key = key or next((os.environ[name] for name in _SDK_VARIABLES if os.environ.get(name)), None)
    if key is None:
        raise missing_setting(_VENDOR, "API key", _VARIABLE, keyless)
    return GenaiClient(_VENDOR, _VARIABLE, keyless, timeout_s, settings.gemini_base_url, api_key=key, vertexai=False)
