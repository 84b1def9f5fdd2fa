"""Small sets of the photographs that installed packages ship, for `python -m bench.quality.evaluate --quick`.

Nothing is fetched, and no picture of anybody's data is needed: scikit-image, scikit-learn and insightface are in
`requirements/all.txt`. The figures say whether something broke, not how good the product is.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from bench.quality import local_sets
from bench.quality.copies import sources
from bench.quality.copies.drawing import to_long_side
from bench.quality.copy_kinds import EDITS
from bench.quality.figures import Figure, Sets
from bench.quality.local_sets import Measured, Photos
from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.engines.faces.locator import FaceLocator

OUT = Path("out/quick")
_PHOTOS = ("dahlia", "temple", "bricks", "retina")
"""Photographs of the half that figures are reported on which are in every installation for tests."""
_MAX_PX = 512
_TRAPS = ("burst", "receipts")
_VARIANTS = ("as they are", "greyscale", "recompressed (JPEG quality 30)", "face 40 px wide", "turned by 30 degrees")
_FACES = {"astronaut": "skimage/data/astronaut.png", "friends": "insightface/data/images/t1.jpg"}
_MARGIN = 0.6
"""Margin of a portrait around a face's box, in widths of it."""
_TAGS = {
    "cat": ("skimage/data/chelsea.png", "cat", "animal"),
    "coffee": ("skimage/data/coffee.png", "coffee", "drink;cup;food"),
    "astronaut": ("skimage/data/astronaut.png", "person", "portrait"),
    "motorcycle": ("skimage/data/motorcycle_left.png", "motorcycle", "vehicle"),
    "dahlia": ("sklearn/datasets/images/flower.jpg", "flower", "plant"),
    "temple": ("sklearn/datasets/images/china.jpg", "temple", "building;palace"),
    "rocket": ("skimage/data/rocket.jpg", "rocket", "sky"),
    "friends": ("insightface/data/images/t1.jpg", "people", "group;person"),
}
"""Name -> file, label, and what is also true."""


def measurements() -> dict[str, Callable[[], Measured]]:
    """List the quick measurements by set."""
    return {"copies": _copies, "quality": _quality, "face groups": _face_groups, "labels": _labels}


def with_slack(sets: Sets) -> Sets:
    """Set the intervals to which a figure must keep: two answers may change, since processors round differently.

    The same pictures are measured each time, so that these are narrower than bootstrap intervals."""
    return {name: {key: _two_answers(figure) for key, figure in figures.items()} for name, figures in sets.items()}


def _two_answers(figure: Figure) -> Figure:
    slack = 0.005 + (2 / figure.asked if figure.asked else 0)
    return Figure(figure.value, figure.value - slack, figure.value + slack, figure.asked)


def _photos() -> Photos:
    photos = sources.load({name: sources.REPORTED[name] for name in _PHOTOS})
    return {name: to_long_side(photo, _MAX_PX) for name, photo in photos.items()}


def _copies() -> Measured:
    wanted = {*EDITS, *_TRAPS}
    return local_sets.copies(_photos(), lambda name: name in wanted)


def _quality() -> Measured:
    return local_sets.quality(_photos())


def _face_groups() -> Measured:
    """Cut a portrait of each face, twice: as it is and mirrored, darker and smaller."""
    locator = FaceLocator(Settings().weights_dir, min_score=Settings().faces.min_score)
    rows = []
    for name, image in sources.load(_FACES).items():
        for number, face in enumerate(locator.locate(image)):
            portrait = _cut_out(image, face.box)
            again = to_long_side((portrait[:, ::-1] * 0.8).astype(np.uint8), max(portrait.shape) * 0.8)
            for print_name, pixels in (("a", portrait), ("b", again)):
                rows.append((f"{name}{number}{print_name}.png", pixels, {"label": f"{name}{number}"}))
    return local_sets.face_groups(_write_set("faces", rows), _VARIANTS)


def _cut_out(image: Image, box: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Image:
    margin = _MARGIN * float(box[2] - box[0])
    left, top, right, bottom = (round(float(edge)) for edge in box + np.array([-margin, -margin, margin, margin]))
    return np.ascontiguousarray(image[max(0, top) : bottom, max(0, left) : right])


def _labels() -> Measured:
    photos = sources.load({name: file for name, (file, _, _) in _TAGS.items()})
    rows = [
        (f"{name}.png", photos[name], {"label": label, "also_true": also, "source": "package"})
        for name, (_, label, also) in _TAGS.items()
    ]
    return local_sets.labels(_write_set("tags", rows), ("all",))


def _write_set(name: str, rows: Iterable[tuple[str, Image, dict[str, str]]]) -> Path:
    """Write a labelled set as files. -> its folder"""
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path, pixels, columns in rows:
        cv2.imwrite(str(folder / path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        written.append({"path": path} | columns)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(written[0]))
        writer.writeheader()
        writer.writerows(written)
    return folder
