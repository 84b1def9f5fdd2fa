"""Input images that arrive as text: base64, a data URL or a URL. Never a path of this machine."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from configs.settings import Settings
from deployments.algorithms.a1111.image_metadata import read_texts
from deployments.algorithms.images.decoding import ImageLimits, decode_layers, inspect
from deployments.contracts.arrays import Gray, Image
from deployments.errors import ImageError
from deployments.kit.threads import Threads
from serve_app.services.images.fetch import Fetcher
from serve_app.services.sdapi.errors import WebUiError, refused

T = TypeVar("T")
_UNREADABLE = "Invalid encoded image"
_BAD_URL = "Invalid image url"
_PRIVATE = "Request to local resource not allowed"


@dataclass(frozen=True, slots=True)
class InputImage:
    """An image as the client sent it and as it was decoded."""

    data: bytes
    pixels: Image
    """At full size, upright, transparency on white."""
    alpha: Gray | None
    """None where all of it is opaque."""


class ImageInputs:
    """Reads images out of the texts of a request. Every method raises `WebUiError` for what is none."""

    def __init__(self, fetcher: Fetcher, settings: Settings) -> None:
        self._fetcher = fetcher
        self._limits = ImageLimits.of(settings.limits)
        self._threads = Threads(settings.runtime.decode_threads)

    async def open(self, text: str) -> InputImage:
        """Read or fetch an image and decode it, once."""
        data, complaint = await self._receive(text)
        return InputImage(data, *await self._decode(data, complaint))

    async def read_texts(self, text: str) -> dict[str, str]:
        """Read or fetch an image and read its texts, in a place of the decoders, without decoding a pixel."""
        data, complaint = await self._receive(text)
        return await self._work(lambda: self._texts(data), complaint)

    async def read(self, text: str) -> bytes:
        """The file content of an image that was found good by decoding it."""
        return (await self.open(text)).data

    async def read_leniently(self, text: str) -> bytes:
        """The file content of an image, empty for what is none: the job that decodes it says so.

        Raises `WebUiError` only for an address that is not fetched from.
        """
        try:
            return await self.read(text)
        except WebUiError as error:
            if error.message == _PRIVATE:
                raise
            return b""

    async def decode(self, data: bytes) -> tuple[Image, Gray | None]:
        """The upright image at full size and its alpha, None where all of it is opaque."""
        return await self._decode(data, _UNREADABLE)

    async def _decode(self, data: bytes, complaint: str) -> tuple[Image, Gray | None]:
        return await self._work(lambda: decode_layers(data, self._limits), complaint)

    def _texts(self, data: bytes) -> dict[str, str]:
        inspect(data, self._limits)
        return read_texts(data)

    async def _work(self, work: Callable[[], T], complaint: str) -> T:
        """Work on a file in a thread, as many at once as there are decoders."""
        try:
            return await self._threads.run(work)
        except ImageError as error:
            raise _complaint(error, complaint) from error

    async def _receive(self, text: str) -> tuple[bytes, str]:
        """Read or fetch a file. -> its bytes, and how to call it if it is no image."""
        if text[:8].lower().startswith(("http://", "https://")):
            return await self._fetch(text), _BAD_URL
        return await asyncio.to_thread(_from_base64, text), _UNREADABLE

    async def _fetch(self, url: str) -> bytes:
        try:
            return (await self._fetcher.fetch(url)).data
        except ImageError as error:
            raise refused(500, _PRIVATE if error.code == "forbidden_address" else _BAD_URL) from error


class JobImages:
    """The input images of one job, by name. Equal file contents, under whatever names, are decoded once."""

    def __init__(self, files: Mapping[str, bytes], inputs: ImageInputs) -> None:
        self._files = files
        self._inputs = inputs
        self._uses = Counter(files.values())
        self._decoded: dict[bytes, tuple[Image, Gray | None]] = {}
        self._decoding = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    async def load(self, name: str) -> tuple[Image, Gray | None]:
        """The upright image at full size and its alpha. Raises `KeyError` for no such name, and `WebUiError`."""
        data = self._files[name]
        if self._uses[data] == 1:  # not kept: it may have 180 MB
            return await self._inputs.decode(data)
        async with self._decoding:
            if data not in self._decoded:
                self._decoded[data] = await self._inputs.decode(data)
            return self._decoded[data]


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
