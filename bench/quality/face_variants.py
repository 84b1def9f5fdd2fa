"""Variants of labelled face images: what cameras, scanners and messengers do to a photograph."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from deployments.contracts.arrays import Image
from deployments.engines.faces.locator import LocatedFace

Variant = Callable[[Image, LocatedFace | None], Image]
"""Makes a variant of an image, given its central face where one was found."""


def _grey(image: Image, _: LocatedFace | None) -> Image:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _recompressed(image: Image, _: LocatedFace | None) -> Image:
    _done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def _small(face_px: int) -> Variant:
    def make(image: Image, face: LocatedFace | None) -> Image:
        if face is None:
            return image
        scale = face_px / float((face.box[2:] - face.box[:2]).max())
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    return make


def _turned(degrees: float) -> Variant:
    def make(image: Image, _: LocatedFace | None) -> Image:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(turned, np.uint8)

    return make


def _cut(image: Image, face: LocatedFace | None) -> Image:
    """Cut the image where a third of the face's box is beyond its border."""
    if face is None:
        return image
    return np.ascontiguousarray(image[:, : max(1, round(float(face.box[0] + 2 * (face.box[2] - face.box[0]) / 3)))])


def _out_of_focus(image: Image, face: LocatedFace | None) -> Image:
    """Blur by a Gaussian of 3 % of the face's width, as behind what a camera is focused on."""
    sigma = 0.03 * float((face.box[2:] - face.box[:2]).max()) if face else 3.0
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


VARIANTS: dict[str, Variant] = {
    "as they are": lambda image, _: image,
    "greyscale": _grey,
    "recompressed (JPEG quality 30)": _recompressed,
    "face 40 px wide": _small(40),
    "face 24 px wide": _small(24),
    "cut by the border": _cut,
    "out of focus": _out_of_focus,
    "turned by 15 degrees": _turned(15),
    "turned by 30 degrees": _turned(-30),
    "mirrored": lambda image, _: np.ascontiguousarray(image[:, ::-1]),
}
