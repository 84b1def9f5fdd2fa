"""Pictures that arrive as text: base64, a data URL, the address of a file elsewhere. Never a path of this machine."""

from __future__ import annotations

import asyncio
import base64
import binascii

from configs.settings import Settings
from deployments.algorithms.images.decoding import ImageLimits, decode_layers
from deployments.contracts.arrays import Gray, Image
from deployments.errors import ImageError
from serve_app.services.images.fetch import Fetcher
from serve_app.services.sdapi.errors import WebUiError, refused

_UNREADABLE = "Invalid encoded image"
_BAD_URL = "Invalid image url"
_PRIVATE = "Request to local resource not allowed"


class ImageInputs:
    def __init__(self, fetcher: Fetcher, settings: Settings) -> None:
        self._fetcher = fetcher
        self._limits = ImageLimits(settings.limits.max_file_bytes, settings.limits.max_pixels)
        self._decoders = asyncio.Semaphore(settings.runtime.decode_threads)

    async def read(self, text: str) -> bytes:
        """The bytes of a picture that was found good by decoding it. Raises `WebUiError`."""
        if text[:8].lower().startswith(("http://", "https://")):
            data, complaint = await self._fetch(text), _BAD_URL
        else:
            data, complaint = await asyncio.to_thread(_from_base64, text), _UNREADABLE
        await self._decode(data, complaint)
        return data

    async def read_leniently(self, text: str) -> bytes:
        """The same, and nothing for what is no picture: whoever decodes it will say so. Raises `WebUiError` only for
        an address that is not fetched from."""
        try:
            return await self.read(text)
        except WebUiError as error:
            if error.message == _PRIVATE:
                raise
            return b""

    async def load(self, text: str) -> tuple[Image, Gray | None]:
        """The upright picture and its alpha, if any of it is transparent. Raises `WebUiError`."""
        return await self.decode(await self.read(text))

    async def decode(self, data: bytes) -> tuple[Image, Gray | None]:
        """Of bytes that `read` gave."""
        return await self._decode(data, _UNREADABLE)

    async def _decode(self, data: bytes, complaint: str) -> tuple[Image, Gray | None]:
        async with self._decoders:
            try:
                return await asyncio.to_thread(decode_layers, data, self._limits)
            except ImageError as error:
                raise _complaint(error, complaint) from error

    async def _fetch(self, url: str) -> bytes:
        try:
            return (await self._fetcher.fetch(url)).data
        except ImageError as error:
            raise refused(500, _PRIVATE if error.code == "forbidden_address" else _BAD_URL) from error


def _complaint(error: ImageError, words: str) -> WebUiError:
    if error.code in {"too_large", "too_many_pixels"}:
        return refused(500, f"{words}: {error.message}")
    return refused(500, words)


def _from_base64(text: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError) as error:
        raise refused(500, _UNREADABLE) from error
