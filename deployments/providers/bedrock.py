"""Amazon Bedrock: Stability AI's image models, by structure control or image to image."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import Any

from configs.settings import Providers
from configs.styles import Style
from deployments.algorithms.decoding import make_preview
from deployments.algorithms.style_prompt import plain_prompt
from deployments.errors import ProviderRejected, ProviderUnavailable
from deployments.generation import MAX_SEED, StyledPicture, StyleRequest
from deployments.providers.policy import (
    check_paid_call,
    error_of_status,
    malformed,
    missing_extra,
    missing_setting,
    picture_of,
    within,
)

_VENDOR = "Amazon Bedrock"
_REGION = "DARKROOM_PROVIDERS__BEDROCK_REGION"
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_CONNECT_S = 5.0
_MAX_PROMPT = 10_000
_CONTROL = "control"
"""In the names of the models that follow a picture's structure; the others go from image to image."""


class BedrockStylist:
    def __init__(self, settings: Providers, timeout_s: float) -> None:
        """Raises `ProviderUnavailable` without the SDK, a region or credentials."""
        try:
            import boto3
            import botocore.exceptions
            from botocore.config import Config
        except ImportError as error:
            raise missing_extra(_VENDOR, "opencv") from error
        session = boto3.Session(region_name=settings.bedrock_region)
        if session.region_name is None:
            raise missing_setting(_VENDOR, "region", _REGION, "opencv")
        if session.get_credentials() is None:
            raise missing_setting(_VENDOR, "credentials", _CREDENTIALS, "opencv")
        self._settings = settings
        self._timeout_s = timeout_s
        self._errors: Any = botocore.exceptions
        self._client = session.client(
            "bedrock-runtime",
            endpoint_url=settings.bedrock_endpoint_url,
            config=Config(
                connect_timeout=min(_CONNECT_S, timeout_s), read_timeout=timeout_s, retries={"total_max_attempts": 1}
            ),
        )

    async def stylize(self, request: StyleRequest, style: Style) -> StyledPicture:
        check_paid_call(self._settings, _VENDOR, self._settings.bedrock_endpoint_url)
        body = json.dumps(self._body(request))
        # The thread of a call that is given up ends with its own read timeout.
        async with within(self._timeout_s, _VENDOR):
            answer = await asyncio.to_thread(self._invoke, body)
        reasons = answer.get("finish_reasons") or [None]
        if str(reasons[0]).startswith("Filter reason"):
            raise ProviderRejected(f"{_VENDOR}'s safety filter refused the picture or the prompt.")
        images = answer.get("images")
        if reasons[0] is not None or not isinstance(images, list) or not images or not isinstance(images[0], str):
            raise malformed(_VENDOR)
        return StyledPicture(await picture_of(images[0], _VENDOR))

    async def aclose(self) -> None:
        self._client.close()

    def _body(self, request: StyleRequest) -> dict[str, Any]:
        negative = plain_prompt(request.negative_prompt)
        body: dict[str, Any] = {
            "prompt": plain_prompt(request.prompt)[:_MAX_PROMPT],
            "image": b64encode(make_preview(request.image)).decode(),
            "seed": 1 + request.seed % (MAX_SEED - 1),  # zero means: any
            "output_format": "png",
        }
        if negative:
            body["negative_prompt"] = negative[:_MAX_PROMPT]
        if _CONTROL in self._settings.bedrock_image_model:
            return body | {"control_strength": round(1 - request.strength, 3)}
        return body | {"mode": "image-to-image", "strength": request.strength}

    def _invoke(self, body: str) -> dict[str, Any]:
        try:
            answer = self._client.invoke_model(
                modelId=self._settings.bedrock_image_model,
                body=body,
                contentType="application/json",
                accept="application/json",
            )
            parsed = json.loads(answer["body"].read())
        except self._errors.ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            raise error_of_status(_VENDOR, status, _CREDENTIALS) from error
        except self._errors.NoCredentialsError as error:
            raise missing_setting(_VENDOR, "credentials", _CREDENTIALS, "opencv") from error
        except ValueError as error:
            raise malformed(_VENDOR) from error
        except self._errors.BotoCoreError as error:
            raise ProviderUnavailable(f"{_VENDOR} cannot be reached.") from error
        if not isinstance(parsed, dict):
            raise malformed(_VENDOR)
        return parsed
