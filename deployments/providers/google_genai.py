"""google-genai client shared by the Gemini API and Vertex AI: calls, deadlines and the meaning of answers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import httpx

from deployments.algorithms.images.decoding import encode_jpeg
from deployments.contracts.arrays import Image
from deployments.errors import ProviderRejected, ProviderUnavailable
from deployments.providers.policy import (
    SENSELESS,
    error_of_status,
    malformed,
    missing_credentials,
    missing_extra,
    picture_of,
    within,
)

T = TypeVar("T")
_CONNECT_S = 5.0
_REFUSALS = frozenset(
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR "
    "IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION".split()
)
"""Finish reasons by which the vendor refuses; the others are failures."""
ASPECT_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
"""Width to height of the images that Gemini's image models make."""
_NOT_READY = "FAILED_PRECONDITION"
"""Error status with HTTP 400, as of a refused image: no billing, or a country without the service."""


class GenaiClient:
    """Client of the SDK over an HTTP client of our own, which is closed with it."""

    def __init__(
        self, vendor: str, credential: str, keyless: str, timeout_s: float, base_url: str | None, **client: Any
    ) -> None:
        """Open a client; `credential` names the setting to look at when the vendor refuses, `client`: arguments of the
        SDK's.

        Raises `ProviderUnavailable` when the SDK is not installed.
        """
        try:
            from google import genai
            from google.auth.exceptions import GoogleAuthError
        except ImportError as error:
            raise missing_extra(vendor, keyless) from error
        self.types: Any = genai.types
        self._vendor, self._credential, self._keyless = vendor, credential, keyless
        self._timeout_s = timeout_s
        self._api_error: type[Any] = genai.errors.APIError
        self._auth_error: type[Exception] = GoogleAuthError
        # Our own HTTP client: the SDK's others retry by themselves after seconds of sleep, whatever the deadline.
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(timeout_s, connect=_CONNECT_S))
        options = self.types.HttpOptions(
            base_url=base_url, timeout=max(1, round(timeout_s * 1000)), httpx_async_client=self._http
        )
        self._client = genai.Client(http_options=options, **client)
        self.models: Any = self._client.aio.models

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        self._client.close()

    async def call(self, request: Awaitable[T]) -> T:
        """Await a request of `models`. Raises `ProviderUnavailable`, `ProviderRejected`."""
        vendor = self._vendor
        try:
            async with within(self._timeout_s, vendor):
                return await request
        except self._api_error as error:
            if "api key" in str(error.message).lower():  # 400, like a bad picture
                raise error_of_status(vendor, 401, self._credential, self._keyless) from error
            if error.status == _NOT_READY:
                raise ProviderUnavailable(f"{vendor} does not serve this account or place.") from error
            raise error_of_status(vendor, int(error.code or 0), self._credential, self._keyless) from error
        except self._auth_error as error:
            raise missing_credentials(vendor, self._credential, self._keyless) from error
        except httpx.HTTPError as error:
            raise ProviderUnavailable(f"{vendor} cannot be reached.") from error
        except SENSELESS as error:
            raise malformed(vendor) from error

    async def redraw(self, model: str, image: Image, prompt: str, seed: int, aspect_ratio: str | None = None) -> Image:
        """Redraw an image by a Gemini image model, in one of `ASPECT_RATIOS` where it is given."""
        config = self.types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            seed=seed % 2**31,
            image_config=self.types.ImageConfig(aspect_ratio=aspect_ratio) if aspect_ratio else None,
        )
        answer = await self.call(
            self.models.generate_content(model=model, contents=[self.part(image), prompt], config=config)
        )
        for part in self.parts_of(answer):
            if part.inline_data is not None and part.inline_data.data:
                return await picture_of(part.inline_data.data, self._vendor)
        raise malformed(self._vendor)

    async def edit(self, model: str, prompt: str, images: list[Any], seed: int, **config: Any) -> Image:
        """Edit reference images by one of Imagen's editing models."""
        settings = self.types.EditImageConfig(
            number_of_images=1,
            seed=seed % 2**31,
            add_watermark=False,  # Imagen takes a seed only without one
            include_rai_reason=True,
            **config,
        )
        answer = await self.call(
            self.models.edit_image(model=model, prompt=prompt, reference_images=images, config=settings)
        )
        made = answer.generated_images or []
        if not made or made[0].rai_filtered_reason:  # what its filter takes out may also just be missing
            raise self.refusal()
        if made[0].image is None or not made[0].image.image_bytes:
            raise malformed(self._vendor)
        return await picture_of(made[0].image.image_bytes, self._vendor)

    def photograph(self, image: Image) -> Any:
        """Make the reference image that is edited, [1] in the prompt."""
        picture = self.types.Image(image_bytes=encode_jpeg(image), mime_type="image/jpeg")
        return self.types.RawReferenceImage(reference_id=1, reference_image=picture)

    def part(self, image: Image) -> Any:
        """Encode an image as a part of a request."""
        return self.types.Part.from_bytes(data=encode_jpeg(image), mime_type="image/jpeg")

    def parts_of(self, answer: Any) -> list[Any]:
        """Read the parts of the first candidate. Raises `ProviderRejected` where the vendor's filters refused."""
        feedback = answer.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            raise self.refusal()
        [candidate, *_] = answer.candidates or [None]
        if candidate is None:
            raise malformed(self._vendor)
        if candidate.finish_reason is not None and candidate.finish_reason.name in _REFUSALS:
            raise self.refusal()
        return list(candidate.content.parts or []) if candidate.content is not None else []

    def refusal(self) -> ProviderRejected:
        """Make the error of a safety filter's refusal."""
        return ProviderRejected(f"{self._vendor}'s safety filter refused the picture or the prompt.")
