"""Provider over another server with the Stable Diffusion web API: AUTOMATIC1111's, or Darkroom on a machine with a
GPU."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import cv2
import httpx
import numpy as np

from configs.settings import Providers
from configs.styles import DiffusionRecipe, Style
from deployments.algorithms.images.decoding import encode_jpeg
from deployments.algorithms.images.resizing import working_size
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.errors import ProviderUnavailable
from deployments.providers.policy import error_of_status, malformed, missing_setting, picture_of, within

_VENDOR = "The Stable Diffusion server"
_URL = "DARKROOM_PROVIDERS__SDWEBUI_URL"
_AUTH = "DARKROOM_PROVIDERS__SDWEBUI_AUTH"
_CONNECT_S = 5.0
_MODES = {
    "balanced": "Balanced",
    "prompt": "My prompt is more important",
    "control": "ControlNet is more important",
}


class WebUiStylist:
    """Style provider by img2img with the style's diffusion recipe."""

    def __init__(self, settings: Providers, timeout_s: float, pixels: int) -> None:
        """Open the HTTP client; `pixels`: width times height at which the model works.

        Raises `ProviderUnavailable` without an address.
        """
        if settings.sdwebui_url is None:
            raise missing_setting(_VENDOR, "address", _URL, "opencv")
        user, _, password = (settings.sdwebui_auth.get_secret_value() if settings.sdwebui_auth else "").partition(":")
        self._http = httpx.AsyncClient(
            base_url=settings.sdwebui_url.rstrip("/"),
            auth=(user, password) if user else None,
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_S),
            trust_env=False,
        )
        self._timeout_s = timeout_s
        self._pixels = pixels

    async def stylize(self, request: StyleTask, style: Style) -> StyledPicture:
        recipe = style.diffusion
        async with within(self._timeout_s, _VENDOR):
            controls = await self._controlnets() if recipe.controls else {}
            payload, warnings = self._payload(request, recipe, controls)
            answer = await self._json("POST", "/sdapi/v1/img2img", json=payload)
        images = answer.get("images") if isinstance(answer, dict) else None
        if not isinstance(images, list) or not images or not isinstance(images[0], str):
            raise malformed(_VENDOR)
        return StyledPicture(await picture_of(images[0].rpartition(",")[2], _VENDOR), tuple(warnings))

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _controlnets(self) -> dict[str, str]:
        """List the server's ControlNets: name without the hash -> name. Empty where the extension is not installed."""
        response = await self._send("GET", "/controlnet/model_list")
        if response.status_code == 404:
            return {}
        listed = _parsed(response)
        names = listed.get("model_list") if isinstance(listed, dict) else None
        if not isinstance(names, list):
            raise malformed(_VENDOR)
        return {str(name).partition(" [")[0]: str(name) for name in names}

    def _payload(
        self, request: StyleTask, recipe: DiffusionRecipe, controls: dict[str, str]
    ) -> tuple[dict[str, Any], list[str]]:
        width, height = working_size(request.image.shape[1], request.image.shape[0], self._pixels)
        source = np.asarray(cv2.resize(request.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        picture = b64encode(encode_jpeg(source)).decode()
        loras = "".join(f" <lora:{lora.name}:{lora.weight:g}>" for lora in recipe.loras)
        overrides: dict[str, Any] = {"CLIP_stop_at_last_layers": recipe.clip_skip}
        if recipe.checkpoint:
            overrides["sd_model_checkpoint"] = recipe.checkpoint
        missing = [control.model for control in recipe.controls if control.model not in controls]
        units = [
            {
                "enabled": True,
                "module": control.module,
                "model": controls[control.model],
                "weight": control.weight,
                "image": picture,
                "resize_mode": "Crop and Resize",
                "control_mode": _MODES[control.mode],
                "pixel_perfect": True,
            }
            for control in recipe.controls
            if control.model in controls
        ]
        payload = {
            "prompt": request.prompt + loras,
            "negative_prompt": request.negative_prompt,
            "init_images": [picture],
            "width": width,
            "height": height,
            "seed": request.seed,
            "steps": recipe.steps,
            "cfg_scale": recipe.guidance_scale,
            "sampler_name": recipe.sampler,
            "scheduler": recipe.scheduler,
            "denoising_strength": request.strength,
            "override_settings": overrides,
            "alwayson_scripts": {"ControlNet": {"args": units}} if units else {},
        }
        return payload, [f"Without ControlNet {model}: the server has none of that name." for model in missing]

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        return _parsed(await self._send(method, path, **options))

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ProviderUnavailable(f"{_VENDOR} cannot be reached.") from error


def _parsed(response: httpx.Response) -> Any:
    if response.status_code != 200:
        raise error_of_status(_VENDOR, response.status_code, _AUTH, "opencv")
    try:
        return response.json()
    except ValueError as error:
        raise malformed(_VENDOR) from error
