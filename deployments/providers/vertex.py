"""Vertex AI: Imagen's editing models and Gemini's image models, in a project of Google Cloud."""

from __future__ import annotations

from typing import Any

from configs.settings import Providers
from configs.styles import Style
from deployments.algorithms.decoding import make_preview
from deployments.contracts import Image
from deployments.generation import StyledPicture, StyleRequest
from deployments.providers.gemini import instruction
from deployments.providers.genai import GenaiClient
from deployments.providers.policy import check_paid_call, malformed, missing_setting, picture_of

_VENDOR = "Vertex AI"
_VARIABLE = "DARKROOM_PROVIDERS__VERTEX_PROJECT"
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_EDIT = "{instruction} The photograph is [1]."


class VertexStylist:
    """Imagen where the model's name says so, else a Gemini image model."""

    def __init__(self, settings: Providers, timeout_s: float, credentials: Any = None) -> None:
        """`credentials`: of google-auth; default: those of the environment, looked for at the first call.

        Raises `ProviderUnavailable` without the SDK or a project.
        """
        if settings.vertex_project is None:
            raise missing_setting(_VENDOR, "project", _VARIABLE, "opencv")
        self._settings = settings
        self._client = GenaiClient(
            _VENDOR,
            _CREDENTIALS,
            "opencv",
            timeout_s,
            settings.vertex_base_url,
            vertexai=True,
            project=settings.vertex_project,
            location=settings.vertex_location,
            credentials=credentials,
        )

    async def stylize(self, request: StyleRequest, style: Style) -> StyledPicture:
        check_paid_call(self._settings, _VENDOR, self._settings.vertex_base_url)
        model = self._settings.vertex_image_model
        if model.startswith("imagen"):
            image = await self._edit(model, request)
        else:
            image = await self._client.redraw(model, request.image, instruction(request), request.seed)
        return StyledPicture(image, ("Vertex AI has no setting for the strength.",))

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _edit(self, model: str, request: StyleRequest) -> Image:
        types = self._client.types
        photograph = types.Image(image_bytes=make_preview(request.image), mime_type="image/jpeg")
        config = types.EditImageConfig(
            edit_mode=types.EditMode.EDIT_MODE_DEFAULT,
            number_of_images=1,
            seed=request.seed % 2**31,
            add_watermark=False,  # Imagen takes a seed only without one
            include_rai_reason=True,
        )
        answer = await self._client.call(
            self._client.models.edit_image(
                model=model,
                prompt=_EDIT.format(instruction=instruction(request)),
                reference_images=[types.RawReferenceImage(reference_id=1, reference_image=photograph)],
                config=config,
            )
        )
        made = answer.generated_images or []
        if not made or made[0].rai_filtered_reason:  # what its filter takes out may also just be missing
            raise self._client.refusal()
        if made[0].image is None or not made[0].image.image_bytes:
            raise malformed(_VENDOR)
        return await picture_of(made[0].image.image_bytes, _VENDOR)
