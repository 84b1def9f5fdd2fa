"""Amazon Bedrock provider: Stability AI's and Amazon's own image models."""

from __future__ import annotations

import json
from asyncio import to_thread
from base64 import b64encode
from typing import Any

from configs.settings import Providers
from configs.styles import Style
from deployments.algorithms.images.decoding import encode_jpeg
from deployments.algorithms.styles.prompt import plain_prompt
from deployments.assets.animals import Animal
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import MAX_SEED
from deployments.contracts.portraits import AvatarPicture, AvatarTask
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.errors import ProviderRejected
from deployments.providers.aws import AwsClient
from deployments.providers.masked_edits import HeadEdit, png, prepare_edit, prompt_of
from deployments.providers.policy import check_paid_call, malformed, picture_of

_VENDOR = "Amazon Bedrock"
_REGION = "DARKROOM_PROVIDERS__BEDROCK_REGION"
_CONTROL = "control"
"""Part of the names of models that follow an image's structure; the others go from image to image."""
_MAX_PROMPT = 10_000
_STABILITY_SIDES, _STABILITY_SHAPE = (64, 2048), 2.5
"""Shortest and longest side, and the ratio of sides up to which an image is taken."""
_AMAZON = ("amazon.titan-image", "amazon.nova-canvas")
_AMAZON_SIDES, _AMAZON_SHAPE = (320, 1408), 4.0
_AMAZON_PROMPT = 512
"""Characters of a prompt that Titan takes; Nova Canvas takes twice as many."""
_AMAZON_SEEDS = 858_993_460


class BedrockStylist:
    """Style provider over Stability AI's models, by structure control or image to image."""

    def __init__(self, settings: Providers, timeout_s: float) -> None:
        """Open the client. Raises `ProviderUnavailable` without the SDK, a region or credentials."""
        self._bedrock = _Bedrock(settings, timeout_s, keyless="opencv")
        self._model = settings.bedrock_image_model

    async def stylize(self, request: StyleTask, style: Style) -> StyledPicture:
        self._bedrock.check_paid_call()
        body = await to_thread(_stability_body, request.prompt, request.negative_prompt, request.image, request.seed)
        if _CONTROL in self._model:
            body["control_strength"] = round(1 - request.strength, 3)
        else:
            body |= {"mode": "image-to-image", "strength": request.strength}
        return StyledPicture(await self._bedrock.draw(self._model, body))

    async def aclose(self) -> None:
        await self._bedrock.aclose()


class BedrockArtist:
    """Avatar provider that inpaints the heads, by Stability AI's model or, by the model's name, Amazon's Titan or
    Nova."""

    def __init__(self, settings: Providers, timeout_s: float) -> None:
        """Open the client; see `BedrockStylist`."""
        self._bedrock = _Bedrock(settings, timeout_s, keyless="local")
        self._model = settings.bedrock_inpaint_model

    async def make_avatar(self, request: AvatarTask, animal: Animal) -> AvatarPicture:
        self._bedrock.check_paid_call()
        prompt = prompt_of(request, animal)
        if any(name in self._model for name in _AMAZON):
            edit = await prepare_edit(_VENDOR, request, _AMAZON_SIDES, _AMAZON_SHAPE)
            body = await to_thread(_amazon_body, prompt, edit)
        else:
            edit = await prepare_edit(_VENDOR, request, _STABILITY_SIDES, _STABILITY_SHAPE)
            body = await to_thread(_stability_body, prompt, request.negative_prompt, edit.image, request.seed)
            body["mask"] = _base64(await to_thread(png, edit.paint))
        made = await self._bedrock.draw(self._model, body)
        return await edit.finish(made, _VENDOR, (f"{_VENDOR} has no setting for the strength.",))

    async def aclose(self) -> None:
        await self._bedrock.aclose()


class _Bedrock:
    """Bedrock's runtime of image models."""

    def __init__(self, settings: Providers, timeout_s: float, keyless: str) -> None:
        self._settings = settings
        self._aws = AwsClient(
            _VENDOR,
            "bedrock-runtime",
            settings.bedrock_region,
            _REGION,
            settings.bedrock_endpoint_url,
            timeout_s,
            keyless,
        )

    def check_paid_call(self) -> None:
        check_paid_call(self._settings, _VENDOR, self._settings.bedrock_endpoint_url)

    async def draw(self, model: str, body: dict[str, Any]) -> Image:
        """Run an image model; -> the image in its answer. Raises `ProviderUnavailable`, `ProviderRejected`."""
        answer = await self._aws.call(lambda client: _invoke(client, model, body))
        if not isinstance(answer, dict):
            raise malformed(_VENDOR)
        reasons = answer.get("finish_reasons")  # Stability's spelling
        reason = reasons[0] if isinstance(reasons, list) and reasons else reasons or answer.get("error")  # Amazon's
        if "filter" in str(reason).lower() or "policy" in str(reason).lower():
            raise ProviderRejected(f"{_VENDOR}'s safety filter refused the picture or the prompt.")
        images = answer.get("images")
        if reason is not None or not isinstance(images, list) or not images or not isinstance(images[0], str):
            raise malformed(_VENDOR)
        return await picture_of(images[0], _VENDOR)

    async def aclose(self) -> None:
        await self._aws.aclose()


def _invoke(client: Any, model: str, body: dict[str, Any]) -> Any:
    answer = client.invoke_model(
        modelId=model, body=json.dumps(body), contentType="application/json", accept="application/json"
    )
    return json.loads(answer["body"].read())


def _stability_body(prompt: str, negative_prompt: str, image: Image, seed: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": plain_prompt(prompt)[:_MAX_PROMPT],
        "image": _base64(encode_jpeg(image)),
        "seed": 1 + seed % (MAX_SEED - 1),  # zero means: any
        "output_format": "png",
    }
    negative = plain_prompt(negative_prompt)
    if negative:
        body["negative_prompt"] = negative[:_MAX_PROMPT]
    return body


def _amazon_body(prompt: str, edit: HeadEdit) -> dict[str, Any]:
    """Make the request of Titan and Nova Canvas, which change what is black in the mask."""
    params = {
        "text": prompt[:_AMAZON_PROMPT],
        "image": _base64(encode_jpeg(edit.image)),
        "maskImage": _base64(png(255 - edit.paint)),
    }
    negative = plain_prompt(edit.request.negative_prompt)
    if negative:
        params["negativeText"] = negative[:_AMAZON_PROMPT]
    return {
        "taskType": "INPAINTING",
        "inPaintingParams": params,
        "imageGenerationConfig": {"numberOfImages": 1, "seed": edit.request.seed % _AMAZON_SEEDS},
    }


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
