"""Image enlargement and face restoration (A1111's "extras"): Lanczos, nearest neighbours, or networks of the diffusion
engine."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage

from configs.settings import Settings
from deployments.algorithms.a1111.bounds import IMAGE_UPSCALERS
from deployments.algorithms.a1111.image_metadata import PARAMETERS, encode_picture, read_texts
from deployments.algorithms.a1111.resizing import scaled_size
from deployments.contracts.albums import FaceFinder
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Diffuser, ModelCatalogue
from deployments.errors import NotDeployed, PayloadTooLarge
from deployments.kit.threads import Threads
from serve_app.services.sdapi.errors import bad_field, broken
from serve_app.services.sdapi.face_restoration import CODEFORMER, GFPGAN, FaceRestoration, choose_restorer
from serve_app.services.sdapi.image_inputs import ImageInputs
from serve_app.services.sdapi.model_names import find_upscaler

NONE = "None"
_FILTERS = {
    "None": PillowImage.Resampling.LANCZOS,
    "Lanczos": PillowImage.Resampling.LANCZOS,
    "Nearest": PillowImage.Resampling.NEAREST,
}


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
    gfpgan: float = 0.0
    """Share of the faces that GFPGAN restores, 0 to 1; `codeformer` likewise."""
    codeformer: float = 0.0
    codeformer_weight: float = 0.0
    """How far CodeFormer follows the image, 0 to 1."""
    enlarged_first: bool = False
    """Whether faces are restored in the enlarged image."""


@dataclass(frozen=True, slots=True)
class ExtrasResult:
    """Result of an enlargement."""

    file: bytes
    """A PNG."""
    warnings: tuple[str, ...] = ()


class Extras:
    """Enlarges images of requests, and restores their faces, a few at once."""

    def __init__(self, inputs: ImageInputs, diffuser: Diffuser, finder: FaceFinder, settings: Settings) -> None:
        self._inputs = inputs
        self._diffuser = diffuser
        self._finder = finder
        self._max_pixels = settings.limits.max_pixels
        self._max_bytes = settings.limits.max_sdapi_bytes
        self._threads = Threads(settings.runtime.decode_threads)

    async def check(self, wanted: Enlargement) -> None:
        """Check that both upscalers exist. Raises `WebUiError`."""
        others = [name for name in (wanted.upscaler, wanted.second_upscaler) if name not in IMAGE_UPSCALERS]
        if not others:
            return
        catalogue = await self._catalogue()
        for name in others:
            if find_upscaler(catalogue, name) is None:
                raise broken("AssertionError", f"could not find upscaler named {name[:80]}")

    async def _catalogue(self) -> ModelCatalogue:
        try:
            return await self._diffuser.list_models()
        except NotDeployed:
            return ModelCatalogue()

    async def enlarge(self, text: str, wanted: Enlargement) -> ExtrasResult:
        """Enlarge an image to a PNG that keeps its generation parameters. Raises `WebUiError`, `FieldRefused`, and what
        the engines raise."""
        source = await self._inputs.open(text)
        width, height = _target(source.pixels, wanted)
        if width * height > self._max_pixels:
            raise bad_field(f"the result would have more than {self._max_pixels} pixels", "upscaling_resize")
        image, warnings = source.pixels, list[str]()
        if not wanted.enlarged_first:
            image, warnings = await self._restore(image, wanted)
        if wanted.upscaler != NONE:
            image = await self._enlarge(image, wanted, (width, height))
        if wanted.enlarged_first:
            image, warnings = await self._restore(image, wanted)
        return ExtrasResult(await self._threads.run(_encode, image, source.data), tuple(warnings))

    async def _restore(self, image: Image, wanted: Enlargement) -> tuple[Image, list[str]]:
        """Restore the faces of an image by each restorer that is wanted. -> image, warnings"""
        asked = {
            name: (kind, share)
            for name, kind, share in (
                ("gfpgan_visibility", GFPGAN, wanted.gfpgan),
                ("codeformer_visibility", CODEFORMER, wanted.codeformer),
            )
            if share
        }
        warnings: list[str] = []
        catalogue = await self._catalogue() if asked else ModelCatalogue()
        for name, (kind, share) in asked.items():
            chosen = choose_restorer(catalogue, kind)
            if chosen.reason:
                warnings.append(f"{name} has no effect: {chosen.reason}")
                continue
            faces = FaceRestoration(self._diffuser, self._finder, chosen.name, wanted.codeformer_weight)
            image, told = await faces.restore(image, share)
            warnings += told
        return image, warnings

    async def _enlarge(self, image: Image, wanted: Enlargement, size: tuple[int, int]) -> Image:
        if wanted.factor is None and wanted.crop:
            image = _cut_to_shape(image, size)
        out = await self._scale(image, wanted.upscaler, size)
        if wanted.second_upscaler != NONE and wanted.second_visibility > 0:
            other = await self._scale(image, wanted.second_upscaler, size)
            out = await self._threads.run(_blend, out, other, wanted.second_visibility)
        return out

    async def _scale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        if upscaler not in IMAGE_UPSCALERS:
            return await self._diffuser.upscale(image, upscaler, size)
        return await self._threads.run(_resize, image, size, upscaler)

    async def enlarge_all(self, texts: Iterable[str], wanted: Enlargement) -> list[ExtrasResult]:
        """Enlarge several images in order. Raises `PayloadTooLarge` too, for files larger than a body may be."""
        made: list[ExtrasResult] = []
        for text in texts:
            made.append(await self.enlarge(text, wanted))
            if len(made) > 1 and sum(len(one.file) for one in made) > self._max_bytes:
                raise PayloadTooLarge(f"The pictures would have more than {self._max_bytes} bytes.")
        return made


def describe(wanted: Enlargement, made: Sequence[ExtrasResult]) -> str:
    """Write `html_info`: the steps done, and the warnings of each image, once."""
    if wanted.upscaler == NONE:
        done = []
    elif wanted.factor is None:
        done = [f"Postprocess upscale to: {wanted.size[0]}x{wanted.size[1]}"]
    else:
        done = [f"Postprocess upscale by: {wanted.factor:g}"]
    done += [f"Postprocess upscaler: {wanted.upscaler}"] if done else []
    if done and wanted.second_upscaler != NONE and wanted.second_visibility > 0:
        done.append(f"Postprocess upscaler 2: {wanted.second_upscaler}")
    warnings = list(dict.fromkeys(text for one in made for text in one.warnings))
    if wanted.gfpgan and not any(text.startswith("gfpgan_visibility") for text in warnings):
        done.append(f"GFPGAN visibility: {wanted.gfpgan:g}")
    if wanted.codeformer and not any(text.startswith("codeformer_visibility") for text in warnings):
        done += [f"CodeFormer visibility: {wanted.codeformer:g}", f"CodeFormer weight: {wanted.codeformer_weight:g}"]
    lines = [", ".join(done), *(f"Warning: {text}" for text in warnings)]
    return "".join(f"<p>{html.escape(line, quote=False)}</p>" for line in lines if line)


def _target(image: Image, wanted: Enlargement) -> tuple[int, int]:
    size = (image.shape[1], image.shape[0])
    if wanted.upscaler == NONE:
        return size
    if wanted.factor is not None:
        return max(1, int(size[0] * wanted.factor)), max(1, int(size[1] * wanted.factor))
    return wanted.size if wanted.crop else scaled_size(size, wanted.size, cover=True)


def _resize(image: Image, size: tuple[int, int], upscaler: str) -> Image:
    return np.asarray(PillowImage.fromarray(image).resize(size, _FILTERS[upscaler]), np.uint8)


def _blend(image: Image, other: Image, share: float) -> Image:
    """Lay `other` over an image by a share of 0 to 1; as bytes, since floats would take gigabytes for the largest."""
    return np.asarray(cv2.addWeighted(image, 1 - share, other, share, 0), np.uint8)


def _encode(image: Image, source: bytes) -> bytes:
    """Encode a PNG with the generation parameters of its source."""
    return encode_picture(image, read_texts(source).get(PARAMETERS, ""))


def _cut_to_shape(image: Image, size: tuple[int, int]) -> Image:
    """Crop the centre in the shape of `size`."""
    height, width = image.shape[:2]
    ratio = min(width / size[0], height / size[1])
    across, down = max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
    left, top = (width - across) // 2, (height - down) // 2
    return np.ascontiguousarray(image[top : top + down, left : left + across])
