"""Image of docs/limits.md: what goes wrong, each case with what the product says of it now.

`python -m bench.gallery.limits` takes cases of photographs that scikit-image and scikit-learn ship, and drawn ones,
asks the product's own algorithms, and writes `docs/limits.jpg`. It says "right" where a case has come right: then it
belongs there no longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from bench.quality.copies import sources
from bench.quality.copy_kinds import EDITS, make_edits, random_for, trap_pairs, trap_sets
from bench.quality.damages import damage, to_full_range
from bench.report import no_arguments
from configs.settings import Settings
from deployments import tagging
from deployments.algorithms.duplicates.features import describe
from deployments.algorithms.duplicates.verdict import verify_pair
from deployments.algorithms.images.quality import assess
from deployments.algorithms.images.views import make_views
from deployments.algorithms.tags.vocabulary import TagRules, select_tags
from deployments.contracts.arrays import Image, Vectors
from deployments.embedding import make_engine
from deployments.faces import make_engine as make_face_engine

TARGET = Path("docs/limits.jpg")
_HEIGHT_PX, _GAP_PX, _LINE_PX, _COLUMNS = 190, 8, 20, 2
_COLUMN_PX = 640
_INK, _PAPER, _WRONG, _RIGHT = "#22262b", "#ffffff", "#d9480f", "#2b8a3e"
_HALF = "reported"
FREE = ("dahlia", "temple", "bricks", "galaxies", "retina")
"""Photographs that may be shown: of scikit-image, and of scikit-learn (by dany13 and by Jake, CC BY 2.0)."""


@dataclass(frozen=True, slots=True)
class Case:
    """What goes wrong, with the pictures that show it."""

    title: str
    says: str
    """What the product says."""
    is_right: bool
    pictures: tuple[Image, ...]


class Product:
    """The product's algorithms, with its settings."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._embedder = make_engine(self._settings)
        self._faces = make_face_engine(self._settings)
        self._tagger, _ = tagging.make_engine(self._settings)

    def vectors(self, image: Image) -> Vectors:
        return self._embedder.embed(make_views(image, self._embedder.input_px))

    def tags(self, image: Image) -> list[str]:
        options = self._settings.tags
        scores = self._tagger.tag(self.vectors(image)[None])[0]
        return list(select_tags(scores, TagRules(options.threshold, options.top_k, options.fallback)))

    def faces(self, image: Image) -> list[Vectors]:
        return [face.embedding for face in self._faces.find(image)]


def _copies(title: str, left: Image, right: Image, *, expected: bool) -> Case:
    found = verify_pair(describe(left), describe(right)).is_copy
    return Case(title, "copies" if found else "no copies", found == expected, (left, right))


def _first_wrong(cases: Iterable[Case]) -> Case:
    """Choose the first case that goes wrong; the first of all where none does."""
    first: Case | None = None
    for case in cases:
        if not case.is_right:
            return case
        first = first or case
    assert first, "no cases"
    return first


def _trapped(title: str, trap: str, photos: dict[str, Image]) -> Iterator[Case]:
    """Compare the pairs of a trap, which are no copies."""
    for pictures in trap_sets(trap, photos, _HALF):
        for left, right in trap_pairs(pictures):
            yield _copies(title, left, right, expected=False)


def _sky() -> Image:
    """Draw a sky that grows lighter towards the ground, with two soft clouds."""
    height, width = 500, 760
    light = np.repeat(np.linspace(90, 190, height, dtype=np.float32)[:, None], width, axis=1)
    for x, y, radius in ((250, 180, 90.0), (520, 300, 120.0)):
        spot = np.zeros((height, width), np.float32)
        spot[y, x] = 1
        blob = cv2.GaussianBlur(spot, (0, 0), radius)
        light += 25 * blob / blob.max()
    return np.dstack([0.55 * light, 0.8 * light, 1.1 * light]).clip(0, 255).astype(np.uint8)


def _slightly_damaged(title: str, kind: str, photos: dict[str, Image]) -> Iterator[Case]:
    """Score photographs and slightly damaged versions of them, which are worse."""
    for name, photo in photos.items():
        reference = to_full_range(photo)
        worse = damage(kind, reference, 1, random_for(name, kind, "1"))
        scores = assess(reference).score, assess(worse).score
        yield Case(title, f"{scores[0]:.2f} and {scores[1]:.2f}", scores[0] > scores[1], (reference, worse))


def cases(product: Product) -> Iterator[Case]:
    """Make the cases, duplicates first."""
    every = sources.load(sources.REPORTED)
    photos = {name: every[name] for name in FREE}

    def edited(kind: str, name: str) -> Image:
        return EDITS[kind](every[name], random_for(_HALF, kind, name))

    sky = _sky()
    yield _copies(
        "Nothing but a soft sky: no edit is found", sky, EDITS["darkened"](sky, random_for("sky")), expected=True
    )
    yield _copies(
        "A thumbnail of 56 pixels, all grain", photos["bricks"], edited("thumbnail of 56 px", "bricks"), expected=True
    )
    yield _copies("Scribbles over bricks", photos["bricks"], edited("scribbles", "bricks"), expected=True)
    collage = make_edits("collage", every, _HALF)[list(every).index("retina")]
    yield _copies("A quarter of a collage", photos["retina"], collage, expected=True)
    yield _first_wrong(_trapped("Something passes before a tripod", "tripod series", every))
    yield _first_wrong(_slightly_damaged("A picture that moved a little: quality", "moved", photos))
    face = sources.load({"astronaut": sources.TUNED["astronaut"]})["astronaut"]
    cut = np.ascontiguousarray(face[:, 225:])
    whole, part = product.faces(face), product.faces(cut)
    cosine = float(whole[0] @ part[0]) if whole and part else 0.0
    cut_case = f"cosine {cosine:.2f} of 1" if part else "no face"
    yield Case("A face cut by the border", cut_case, cosine > 0.6, (face, cut))
    for name, true in (("bricks", "bricks"), ("retina", "an eye"), ("galaxies", "stars")):
        given = product.tags(photos[name])
        yield Case(f"Tags of {true}", ", ".join(given) or "none", bool(given), (photos[name],))


def draw(found: list[Case]) -> PillowImage.Image:
    """Draw the cases in columns: the pictures side by side under a title and what the product says."""
    cell = _HEIGHT_PX + 2 * _LINE_PX + 2 * _GAP_PX
    rows = -(-len(found) // _COLUMNS)
    sheet = PillowImage.new("RGB", (_COLUMNS * _COLUMN_PX, rows * cell + _GAP_PX), _PAPER)
    pen, bold, small = ImageDraw.Draw(sheet), ImageFont.load_default(16), ImageFont.load_default(14)
    for place, case in enumerate(found):
        left, top = place % _COLUMNS * _COLUMN_PX + _GAP_PX, place // _COLUMNS * cell + _GAP_PX
        pen.text((left, top), case.title, fill=_INK, font=bold)
        verdict = f"says: {case.says}" + (" (right)" if case.is_right else "")
        pen.text((left, top + _LINE_PX), verdict, fill=_RIGHT if case.is_right else _WRONG, font=small)
        for picture in case.pictures:
            thumbnail = PillowImage.fromarray(picture)
            thumbnail.thumbnail(((_COLUMN_PX - 3 * _GAP_PX) // 2, _HEIGHT_PX))
            sheet.paste(thumbnail, (left, top + 2 * _LINE_PX))
            left += thumbnail.width + _GAP_PX
    return sheet


def main() -> None:
    no_arguments(__doc__)
    cv2.setNumThreads(1)
    found = list(cases(Product()))
    for case in found:
        print(f"{case.title}: {case.says}{' (right)' if case.is_right else ''}")
    draw(found).save(TARGET, quality=85, optimize=True)


if __name__ == "__main__":
    main()
