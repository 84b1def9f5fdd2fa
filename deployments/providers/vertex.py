"""Vertex AI provider: Imagen's editing models and Gemini's image models, in a project of Google Cloud."""

from __future__ import annotations

from asyncio import to_thread
from typing import Any

from configs.settings import Providers
from configs.styles import Style
from deployments.algorithms.styles.prompt import plain_prompt
from deployments.assets.animals import Animal
from deployments.contracts.arrays import Image
from deployments.contracts.portraits import AvatarPicture, AvatarTask
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.providers.gemini import instruction
from deployments.providers.google_genai import ASPECT_RATIOS, GenaiClient
from deployments.providers.letterbox import frame, unframe
from deployments.providers.masked_edits import HeadEdit, check_shape, png, prepare_edit, prompt_of
from deployments.providers.policy import check_paid_call, missing_setting

_VENDOR = "Vertex AI"
_VARIABLE = "DARKROOM_PROVIDERS__VERTEX_PROJECT"
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_EDIT = "{instruction} The photograph is [1]."
_NO_STRENGTH = "Vertex AI has no setting for the strength."
_SIDES = (64, 2048)
_REPAINT = (
    "Edit this photograph. Give every person in it {what}, so that the result is a {prompt}. Change nothing else: keep "
    "the place, size and direction of each head, the bodies, clothes, hands, background, light and framing."
)
_WHAT = {"character": "the animal's head instead of the own", "overlay": "the animal's features on the own face"}
_AVOID = " Avoid: {negative}."


class VertexStylist:
    """Style provider over Imagen where the model's name says so, else over a Gemini image model."""

    def __init__(self, settings: Providers, timeout_s: float, credentials: Any = None) -> None:
        """Open the client; `credentials`: of google-auth, default: those of the environment, looked for at the first
        call.

        Raises `ProviderUnavailable` without the SDK or a project.
        """
        self._settings = settings
        self._client = _open(settings, timeout_s, "opencv", credentials)

    async def stylize(self, request: StyleTask, style: Style) -> StyledPicture:
        check_paid_call(self._settings, _VENDOR, self._settings.vertex_base_url)
        model, prompt = self._settings.vertex_image_model, instruction(request)
        if _is_imagen(model):
            photograph = await to_thread(self._client.photograph, request.image)
            prompt = _EDIT.format(instruction=prompt)
            image = await self._client.edit(model, prompt, [photograph], request.seed, edit_mode="EDIT_MODE_DEFAULT")
        else:
            image = await self._client.redraw(model, request.image, prompt, request.seed)
        return StyledPicture(image, (_NO_STRENGTH,))

    async def aclose(self) -> None:
        await self._client.aclose()


class VertexArtist:
    """Avatar provider: Imagen paints under the mask of the heads; a Gemini image model edits the whole image, of which
    the heads are taken."""

    def __init__(self, settings: Providers, timeout_s: float, credentials: Any = None) -> None:
        """Open the client; see `VertexStylist`."""
        self._settings = settings
        self._client = _open(settings, timeout_s, "local", credentials)

    async def make_avatar(self, request: AvatarTask, animal: Animal) -> AvatarPicture:
        check_paid_call(self._settings, _VENDOR, self._settings.vertex_base_url)
        edit = await prepare_edit(_VENDOR, request, _SIDES)
        prompt = prompt_of(request, animal)
        if _is_imagen(self._settings.vertex_edit_model):
            made = await self._insert(edit, prompt)
        else:
            made = await self._redraw(edit, prompt)
        return await edit.finish(made, _VENDOR, (_NO_STRENGTH,))

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _insert(self, edit: HeadEdit, prompt: str) -> Image:
        types = self._client.types
        mask = types.MaskReferenceImage(
            reference_id=2,
            reference_image=types.Image(image_bytes=await to_thread(png, edit.paint), mime_type="image/png"),
            config=types.MaskReferenceConfig(mask_mode="MASK_MODE_USER_PROVIDED", mask_dilation=0.0),
        )
        return await self._client.edit(
            self._settings.vertex_edit_model,
            prompt,
            [await to_thread(self._client.photograph, edit.image), mask],
            edit.request.seed,
            edit_mode="EDIT_MODE_INPAINT_INSERTION",
            negative_prompt=plain_prompt(edit.request.negative_prompt) or None,
        )

    async def _redraw(self, edit: HeadEdit, prompt: str) -> Image:
        """Redraw the image by a Gemini model, letterboxed, since these models make images of a few aspect ratios
        only."""
        model, seed = self._settings.vertex_edit_model, edit.request.seed
        asked = _REPAINT.format(what=_WHAT[edit.request.mode], prompt=prompt.rstrip(" ."))
        if negative := plain_prompt(edit.request.negative_prompt):
            asked += _AVOID.format(negative=negative)
        framed, ratio = await to_thread(frame, edit.image, ASPECT_RATIOS)
        made = await self._client.redraw(model, framed, asked, seed, ratio)
        check_shape(made, framed, _VENDOR)
        return unframe(made, edit.image, framed)


def _open(settings: Providers, timeout_s: float, keyless: str, credentials: Any) -> GenaiClient:
    if settings.vertex_project is None:
        raise missing_setting(_VENDOR, "project", _VARIABLE, keyless)
    return GenaiClient(
        _VENDOR,
        _CREDENTIALS,
        keyless,
        timeout_s,
        settings.vertex_base_url,
        vertexai=True,
        project=settings.vertex_project,
        location=settings.vertex_location,
        credentials=credentials,
    )


def _is_imagen(model: str) -> bool:
    return model.startswith("imagen")
