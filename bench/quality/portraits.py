"""Quality of face detection and masks on portraits at any turn: recall and accuracy.

`python -m bench.quality.portraits DATA` measures the local engine in this process; `make eval` does so over HTTP.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.quality.contact_sheet import Mistake
from bench.quality.pasted_faces import ROLLS, Paste, Portrait, paste_faces
from bench.quality.portrait_finders import FaceBox, Finder, Found, engine_finder
from deployments.contracts.arrays import Gray, Image

Figures = dict[str, float]
_HEAD_GROWTH = 0.25
"""Reach of a head with hair beyond the face's box on each side, as a share of the box."""
_NEAR = 1.0
"""Largest distance between the mean marks of the pasted face and a found one that is it, in eye distances."""
_LIKE = (0.6, 1.7)
"""Range of the ratio between the eye distances of a found face and the pasted one that it is."""


def measure(find: Finder, faces: Path, backgrounds: Path, every: int = 1) -> tuple[Figures, list[Mistake]]:
    """Measure the figures and collect mistakes; only every `every`-th portrait is pasted."""
    started = time.monotonic()
    found_in = {path: find(_read(path)) for path in _pictures(faces)}
    seconds = time.monotonic() - started
    figures, mistakes = _central(found_in)
    figures["seconds_a_picture"] = seconds / len(found_in)
    portraits = [_portrait(path, found) for path, found in list(found_in.items())[::every] if found.boxes]
    astronaut = _astronaut()
    portraits.append(_portrait_of(astronaut, find(astronaut)))
    empty = [image for path in _pictures(backgrounds)[::4] if not find(image := _read(path)).boxes]
    rolls: dict[int, list[tuple[float, float]]] = defaultdict(list)
    pasted = 0
    for pasted, paste in enumerate(paste_faces(portraits, empty), start=1):
        rolls[paste.roll].append(_compare(paste, find(paste.image)))
        if np.isnan(rolls[paste.roll][-1][0]):
            mistakes.append(Mistake(f"portraits: paste {pasted}, not found at {paste.roll} degrees", []))
    return figures | _figures(rolls) | {"pasted": float(pasted)}, mistakes


def _central(found_in: dict[Path, Found]) -> tuple[Figures, list[Mistake]]:
    """Measure how often exactly one returned box holds the image's centre, where the labelled face is."""
    once, shares = 0, []
    mistakes: list[Mistake] = []
    for path, found in found_in.items():
        height, width = found.mask.shape
        holding = [x1 <= width / 2 <= x2 and y1 <= height / 2 <= y2 for x1, y1, x2, y2 in found.boxes]
        once += sum(holding) == 1
        if sum(holding) != 1:
            mistakes.append(Mistake(f"portraits: {sum(holding)} boxes hold the centre", [path]))
        heads = np.zeros_like(found.mask)
        for box in found.boxes:
            x1, y1, x2, y2 = _grown(box)
            heads[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = 1
        if found.mask.any():
            shares.append(float((found.mask * heads).sum(dtype=np.int64) / found.mask.sum(dtype=np.int64)))
    return {
        "central_face_once": once / len(found_in),
        "mask_in_head_boxes": float(np.mean(shares)),
        "mask_in_head_boxes_worst": float(np.min(shares)),
    }, mistakes


def _grown(box: FaceBox) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = box
    right, down = (x2 - x1) * _HEAD_GROWTH, (y2 - y1) * _HEAD_GROWTH
    return round(x1 - right), round(y1 - down), round(x2 + right), round(y2 + down)


def _compare(paste: Paste, found: Found) -> tuple[float, float]:
    """Compare marks and masks: mean error in percent of the eyes' distance, and overlap (IoU); NaN: not found."""
    eyes = float(np.linalg.norm(paste.marks[1] - paste.marks[0]))
    for marks in found.marks:
        wide = float(np.linalg.norm(marks[1] - marks[0])) / eyes
        near = float(np.linalg.norm(marks.mean(axis=0) - paste.marks.mean(axis=0))) / eyes
        if near < _NEAR and _LIKE[0] < wide < _LIKE[1]:
            error = 100 * float(np.linalg.norm(marks - paste.marks, axis=1).mean()) / eyes
            return error, _overlap(paste, found.mask)
    return np.nan, np.nan


def _overlap(paste: Paste, mask: Gray) -> float:
    """Overlap (IoU) of the masks near the pasted face: other masks may lie elsewhere in the image."""
    x, y, width, height = cv2.boundingRect(paste.mask)
    aside, below = width // 4, height // 4
    part = np.s_[max(0, y - below) : y + height + below, max(0, x - aside) : x + width + aside]
    wanted, given = paste.mask[part].astype(np.float64), mask[part].astype(np.float64)
    return float(np.minimum(wanted, given).sum() / max(np.maximum(wanted, given).sum(), 1))


def _figures(rolls: dict[int, list[tuple[float, float]]]) -> Figures:
    figures: Figures = {}
    for roll in ROLLS:
        errors = np.array([error for error, _ in rolls[roll]])
        figures[f"found_{roll:+d}"] = float((~np.isnan(errors)).mean())
        figures[f"landmark_error_{roll:+d}"] = float(np.nanmean(errors))
        figures[f"mask_iou_{roll:+d}"] = float(np.nanmean([overlap for _, overlap in rolls[roll]]))
    every = np.concatenate([[error for error, _ in pairs] for pairs in rolls.values()])
    return figures | {
        "found_upright": figures["found_+0"],
        "found_any_roll": min(figures[f"found_{roll:+d}"] for roll in ROLLS),
        "landmark_error_mean": float(np.nanmean(every)),
        "landmark_error_median": float(np.nanmedian(every)),
        "landmark_error_p95": float(np.nanpercentile(every, 95)),
    }


def _portrait(path: Path, found: Found) -> Portrait:
    return _portrait_of(_read(path), found)


def _portrait_of(image: Image, found: Found) -> Portrait:
    """Make a portrait of the face nearest the centre."""
    centre = np.array(image.shape[1::-1]) / 2
    marks = min(found.marks, key=lambda marks: float(np.linalg.norm(marks.mean(axis=0) - centre)))
    return Portrait(image, marks, found.mask)


def _pictures(folder: Path) -> list[Path]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return [folder / row["path"] for row in csv.DictReader(file)]


def _read(path: Path) -> Image:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)


def _astronaut() -> Image:
    import skimage

    return _read(Path(skimage.__file__).parent / "data" / "astronaut.png")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.portraits", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the sets `faces` and `tags`")
    parser.add_argument("--every", type=int, default=1, help="paste every so-manieth portrait only")
    chosen = parser.parse_args(arguments)
    figures, mistakes = measure(engine_finder(), chosen.data / "faces", chosen.data / "tags", chosen.every)
    for mistake in mistakes:
        sys.stdout.write(f"{mistake.what} {' '.join(mistake.names)}\n")
    for name, value in figures.items():
        sys.stdout.write(f"{name:28} {value:.4g}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
