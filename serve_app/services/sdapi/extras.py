"""Image enlargement without a model (A1111's "extras"): Lanczos or nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage

from configs.settings import Settings
from deployments.algorithms.a1111.bounds import IMAGE_UPSCALERS
from deployments.algorithms.a1111.image_metadata import PARAMETERS, encode_picture, read_texts
from deployments.algorithms.a1111.resizing import scaled_size
from deployments.contracts.arrays import Image
from deployments.errors import PayloadTooLarge
from deployments.kit.threads import Threads
from serve_app.services.sdapi.errors import bad_field, broken
from serve_app.services.sdapi.image_inputs import ImageInputs

NONE = "None"
_FILTERS = {"Lanczos": PillowImage.Resampling.LANCZOS, "Nearest": PillowImage.Resampling.NEAREST}


@dataclass(frozen=True, slots=True)
class Enlargement:
    """Parameters of an enlargement."""

    upscaler: str = NONE
    """`None` leaves the image as it is."""
    second_upscaler: str = NONE
    second_visibility: float = 0.0
    """Share of the second upscaler's result, 0 to 1."""
    factor: float | None = 2.0
    """Scale of the sides; None: enlarge to `size`."""
    size: tuple[int, int] = (512, 512)
    crop: bool = True
    """Whether the result is `size` exactly, cut at the edges; else it covers `size`."""


class Extras:
    """Enlarges images of requests, a few at once."""

    def __init__(self, inputs: ImageInputs, settings: Settings) -> None:
        self._inputs = inputs
        self._max_pixels = settings.limits.max_pixels
        self._max_bytes = settings.limits.max_sdapi_bytes
        self._threads = Threads(settings.runtime.decode_threads)

    def check(self, wanted: Enlargement) -> None:
        """Check that both upscalers exist. Raises `WebUiError`."""
        for name in (wanted.upscaler, wanted.second_upscaler):
            if name not in IMAGE_UPSCALERS:
                raise broken("AssertionError", f"could not find upscaler named {name[:80]}")

    async def enlarge(self, text: str, wanted: Enlargement) -> bytes:
        """Enlarge an image to a PNG that keeps its generation parameters. Raises `WebUiError`, `FieldRefused`."""
        source = await self._inputs.open(text)
        width, height = _target(source.pixels, wanted)
        if width * height > self._max_pixels:
            raise bad_field(f"the result would have more than {self._max_pixels} pixels", "upscaling_resize")
        return await self._threads.run(_enlarge, source.pixels, wanted, source.data)

    async def enlarge_all(self, texts: Iterable[str], wanted: Enlargement) -> list[bytes]:
        """Enlarge several images in order. Raises `PayloadTooLarge` too, for files larger than a body may be."""
        files: list[bytes] = []
        for text in texts:
            files.append(await self.enlarge(text, wanted))
            if len(files) > 1 and sum(map(len, files)) > self._max_bytes:
                raise PayloadTooLarge(f"The pictures would have more than {self._max_bytes} bytes.")
        return files


def describe(wanted: Enlargement, ignored: list[str]) -> str:
    """Write `html_info`: the steps done, and a warning for each of `ignored`."""
    if wanted.upscaler == NONE:
        done = []
    elif wanted.factor is None:
        done = [f"Postprocess upscale to: {wanted.size[0]}x{wanted.size[1]}"]
    else:
        done = [f"Postprocess upscale by: {wanted.factor:g}"]
    done += [f"Postprocess upscaler: {wanted.upscaler}"] if done else []
    if done and wanted.second_upscaler != NONE and wanted.second_visibility > 0:
        done.append(f"Postprocess upscaler 2: {wanted.second_upscaler}")
    lines = [", ".join(done), *(f"Warning: {text}" for text in ignored)]
    return "".join(f"<p>{line}</p>" for line in lines if line)


def _target(image: Image, wanted: Enlargement) -> tuple[int, int]:
    size = (image.shape[1], image.shape[0])
    if wanted.upscaler == NONE:
        return size
    if wanted.factor is not None:
        return max(1, int(size[0] * wanted.factor)), max(1, int(size[1] * wanted.factor))
    return wanted.size if wanted.crop else scaled_size(size, wanted.size, cover=True)


def _enlarge(image: Image, wanted: Enlargement, source: bytes) -> bytes:
    size, parameters = _target(image, wanted), read_texts(source).get(PARAMETERS, "")
    if wanted.upscaler == NONE:
        return encode_picture(image, parameters)
    picture = PillowImage.fromarray(image)
    if wanted.factor is None and wanted.crop:
        picture = _cut_to_shape(picture, size)
    out = np.asarray(picture.resize(size, _FILTERS[wanted.upscaler]), np.uint8)
    if wanted.second_upscaler != NONE and wanted.second_visibility > 0:
        other = np.asarray(picture.resize(size, _FILTERS[wanted.second_upscaler]), np.uint8)
        # As bytes: floating point would take gigabytes for the largest pictures.
        out = np.asarray(cv2.addWeighted(out, 1 - wanted.second_visibility, other, wanted.second_visibility, 0))
    return encode_picture(out, parameters)


def _cut_to_shape(picture: PillowImage.Image, size: tuple[int, int]) -> PillowImage.Image:
    """Crop the centre in the shape of `size`."""
    ratio = min(picture.width / size[0], picture.height / size[1])
    width, height = max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
