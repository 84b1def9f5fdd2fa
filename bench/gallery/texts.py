"""Image of docs/texts.md: `python -m bench.gallery.texts` writes `docs/texts.png`.

A receipt that is photographed from the side and a page that stands on its head, with the boxes and the order in which
they are read, and the text beside them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from bench.quality.written_pages import DAMAGES, latin_font, pages
from bench.report import no_arguments
from configs.settings import Settings
from deployments.algorithms.texts.rows import plain_text
from deployments.contracts.arrays import Image
from deployments.contracts.texts import ANY_TEXT, Text
from deployments.engines.texts.rapid import RapidTextEngine

TARGET = Path("docs/texts.png")
_LINES = 6
_WIDTH_PX, _TEXT_PX, _GAP_PX = 560, 420, 12
_INK, _PAPER, _BOX = "#22262b", "#ffffff", "#d9480f"


def main() -> None:
    no_arguments(__doc__)
    settings = Settings()
    engine = RapidTextEngine(settings.texts.max_px)
    drawn = {page.kind: page for page in pages(_LINES, (1,))}
    seen = DAMAGES["photographed from the side"]
    shown = [
        seen(drawn["a table"].image, np.random.default_rng(1)),
        np.ascontiguousarray(np.rot90(drawn["two columns"].image, 2)),
    ]
    rows = [_row(image, engine.read(image, ANY_TEXT)) for image in shown]
    sheet = PillowImage.new("RGB", (_WIDTH_PX + _TEXT_PX, sum(row.height + _GAP_PX for row in rows)), _PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + _GAP_PX
    sheet.quantize(96).save(TARGET, optimize=True)


def _row(image: Image, texts: list[Text]) -> PillowImage.Image:
    """Draw a picture with its boxes, numbered, and what is read in it."""
    scale = _WIDTH_PX / image.shape[1]
    picture = PillowImage.fromarray(image).resize((_WIDTH_PX, round(image.shape[0] * scale)))
    draw = ImageDraw.Draw(picture)
    for number, text in enumerate(texts, 1):
        corners = [(x * scale, y * scale) for x, y in text.corners]
        draw.polygon(corners, outline=_BOX)
        draw.text(_above(corners), str(number), font=latin_font(9), fill=_BOX, anchor="rb")
    page = plain_text([text.corners for text in texts], [text.text for text in texts]).split("\n")
    row = PillowImage.new("RGB", (_WIDTH_PX + _TEXT_PX, max(picture.height, 18 * len(page) + 16)), _PAPER)
    row.paste(picture, (0, 0))
    beside, font = ImageDraw.Draw(row), latin_font(12)
    for number, line in enumerate(page):
        for column, cell in enumerate(line.split("\t")):
            place = (_WIDTH_PX + 16 + (0, 200, 260)[min(column, 2)], 8 + 18 * number)
            beside.text(place, cell, font=font, fill=_INK)
    return row


def _above(corners: list[tuple[float, float]]) -> tuple[float, float]:
    """Place of a box's number: left of its top left, whichever way the text stands."""
    return min(x for x, _ in corners) - 2, min(y for _, y in corners) + 8


if __name__ == "__main__":
    main()
