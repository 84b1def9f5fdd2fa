"""Portraits pasted at known places, sizes and turns onto images without people: ground truth to the pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.algorithms.images.affine import move_points
from deployments.contracts.arrays import Gray, Image

ROLLS = (0, 30, -30, 90, -90, 180)
MARKS = ("left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right")
_SIDE_PX = 800
"""Shorter side of the backgrounds, pixels."""
_EYES_PX = (20.0, 120.0)
"""Range of the distance between the eyes of the pasted face, pixels; a face is about 2.2 times as wide."""
_REACH = 2.6
"""Radius of the disc that is pasted, in distances between the eyes: a head with hair and neck."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """An upright face in its image."""

    image: Image
    marks: NDArray[np.float32]
    """Eyes, nose and mouth corners as `MARKS`, `float32[5, 2]`, pixels."""
    mask: Gray


@dataclass(frozen=True, slots=True)
class Paste:
    """An image with one pasted face."""

    image: Image
    roll: int
    marks: NDArray[np.float32]
    """True positions of `MARKS`, pixels."""
    mask: Gray
    """True mask of the face."""


def paste_faces(portraits: Sequence[Portrait], backgrounds: Sequence[Image], seed: int = 0) -> Iterator[Paste]:
    """Paste each portrait once at each of `ROLLS`."""
    rng = np.random.default_rng(seed)
    for portrait in portraits:
        for roll in ROLLS:
            background = backgrounds[int(rng.integers(len(backgrounds)))]
            yield _paste(portrait, _enlarged(background), roll, rng)


def _enlarged(image: Image) -> Image:
    scale = _SIDE_PX / min(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))


def _paste(portrait: Portrait, background: Image, roll: int, rng: np.random.Generator) -> Paste:
    height, width = background.shape[:2]
    eyes = float(np.linalg.norm(portrait.marks[1] - portrait.marks[0]))
    own_roll = float(np.degrees(np.arctan2(*(portrait.marks[1] - portrait.marks[0])[::-1])))
    wanted = float(np.exp(rng.uniform(*np.log(_EYES_PX))))
    middle = portrait.marks.mean(axis=0)
    radius = min(_REACH * eyes, *middle, *(np.array(portrait.image.shape[1::-1]) - middle))
    reach = radius * wanted / eyes
    low = np.full(2, reach)
    place = rng.uniform(low, np.maximum(np.array([width, height]) - reach, low + 1))
    # OpenCV turns counter-clockwise; `roll` is that of the face, whatever its own was.
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), own_roll - roll, wanted / eyes)
    matrix[:, 2] += place - middle
    rows, columns = np.indices(portrait.image.shape[:2])
    distance = np.hypot(columns - middle[0], rows - middle[1]) / radius
    disc = np.clip((1 - distance) / 0.15, 0, 1).astype(np.float32)
    source = portrait.image
    shrink = wanted / eyes
    if shrink < 0.5:
        # Averaged before it shrinks: bilinear interpolation alone would skip pixels.
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), 0.4 / shrink))
    warped = cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_LINEAR).astype(np.float32)
    share = cv2.warpAffine(disc, matrix, (width, height), flags=cv2.INTER_LINEAR)[..., None]
    image = np.rint(background * (1 - share) + warped * share).astype(np.uint8)
    mask = np.asarray(cv2.warpAffine(portrait.mask, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    return Paste(image, roll, move_points(portrait.marks, matrix), mask)
