"""Do the 468 landmarks of a face tell closed eyes? `python -m bench.quality.closed_eyes`.

Closes the eyes of faces in package photographs (the opening is filled from the skin around it, a line of lashes drawn
where the lower lid is), locates the faces again, and prints the openings before and after: the lids' distance as a
share of the eye's width, both eyes' mean. Writes `out/closed_eyes_NAME.png`. Nothing in the product uses this.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.quality.copies import sources
from bench.report import no_arguments
from configs.settings import Settings
from deployments.contracts.arrays import Image
from deployments.engines.faces.locator import FaceLocator

OUT = Path("out")
_PHOTOS = {"astronaut": "skimage/data/astronaut.png", "friends": "insightface/data/images/t1.jpg"}
_UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
_LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
"""Upper and lower lid of both eyes in MediaPipe's face mesh, corner to corner."""
_GROWTH = 1.25
_LASHES = (60, 40, 35)


def opening(mesh: NDArray[np.floating]) -> float:
    """Measure how far the eyes are open, by their lids' middles."""

    def distance(one: int, other: int) -> float:
        return float(np.linalg.norm(mesh[one, :2] - mesh[other, :2]))

    lids = zip(_UPPER, _LOWER, strict=True)
    return float(np.mean([distance(upper[4], lower[4]) / distance(upper[0], upper[-1]) for upper, lower in lids]))


def close_eyes(image: Image, mesh: NDArray[np.floating]) -> Image:
    """Draw the eyes of a face closed."""
    closed = image.copy()
    for upper, lower in zip(_UPPER, _LOWER, strict=True):
        outline = mesh[[*upper, *lower[::-1]], :2]
        middle = outline.mean(axis=0)
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.rint(middle + (outline - middle) * _GROWTH).astype(np.int32)], 255)
        closed = np.asarray(cv2.inpaint(closed, cv2.dilate(mask, np.ones((3, 3), np.uint8)), 3, cv2.INPAINT_TELEA))
        width = float(np.linalg.norm(mesh[upper[0], :2] - mesh[upper[-1], :2]))
        line = np.rint(mesh[list(lower), :2]).astype(np.int32)
        cv2.polylines(closed, [line], False, _LASHES, max(1, round(width / 14)), cv2.LINE_AA)
    return closed


def main() -> None:
    no_arguments(__doc__)
    settings = Settings()
    locator = FaceLocator(settings.weights_dir, min_score=settings.faces.min_score)
    table = Table("photograph", "face, px wide", "open", "drawn closed")
    OUT.mkdir(exist_ok=True)
    for name, image in sources.load(_PHOTOS).items():
        faces = locator.locate(image)
        closed = image
        for face in faces:
            closed = close_eyes(closed, face.mesh.points)
        cv2.imwrite(str(OUT / f"closed_eyes_{name}.png"), cv2.cvtColor(closed, cv2.COLOR_RGB2BGR))
        again = locator.locate(closed)
        for face in faces:
            same = min(again, key=lambda other: float(np.abs(other.box - face.box).sum()))
            after = opening(same.mesh.points)
            table.add_row(name, f"{face.box[2] - face.box[0]:.0f}", f"{opening(face.mesh.points):.2f}", f"{after:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
