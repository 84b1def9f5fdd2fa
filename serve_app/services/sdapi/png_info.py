"""The generation parameters that an image file carries."""

from __future__ import annotations

from typing import Any

from deployments.algorithms.a1111.image_metadata import PARAMETERS
from deployments.algorithms.a1111.infotext import read_infotext
from serve_app.services.sdapi.image_inputs import ImageInputs


async def read_generation_info(inputs: ImageInputs, text: str) -> dict[str, Any]:
    """Read the texts of a PNG, JPEG or WebP in base64. -> A1111's `info`, `items` and `parameters`.

    No pixel is decoded. Raises `WebUiError` when it is no image.
    """
    texts = await inputs.read_texts(text)
    info = texts.pop(PARAMETERS, "")
    return {"info": info, "items": texts, "parameters": read_infotext(info)}
