"""The generation parameters that an image file carries."""

from __future__ import annotations

import asyncio
from typing import Any

from deployments.algorithms.a1111.image_metadata import PARAMETERS, read_texts
from deployments.algorithms.a1111.infotext import read_infotext
from serve_app.services.sdapi.image_inputs import ImageInputs


async def read_generation_info(inputs: ImageInputs, text: str) -> dict[str, Any]:
    """Read the texts of a PNG, JPEG or WebP in base64. -> A1111's `info`, `items` and `parameters`.

    Raises `WebUiError` when it is no image.
    """
    texts = await asyncio.to_thread(read_texts, await inputs.read(text))
    info = texts.pop(PARAMETERS, "")
    return {"info": info, "items": texts, "parameters": read_infotext(info)}
