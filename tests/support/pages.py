"""Pages with text, drawn with the font that Pillow brings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from deployments.contracts.arrays import Image
from deployments.contracts.texts import Corners

RECEIPT = (
    ("Item", "Qty", "Price"),
    ("Espresso", "2", "5.00"),
    ("Croissant with ham", "10", "4.20"),
    ("Total", "12", "9.20"),
)
RECEIPT_TEXT = "\n".join("\t".join(row) for row in RECEIPT)
RECEIPT_COLUMNS = (30, 330, 460)


def a_page(
    rows: Sequence[Sequence[str]],
    *,
    columns: Sequence[int] = (30,),
    px: int = 22,
    size: tuple[int, int] = (560, 240),
    degrees: float = 0.0,
) -> Image:
    """Draw rows of cells in black on white, then turn the page counter-clockwise."""
    page = PillowImage.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(px)
    for number, row in enumerate(rows):
        for x, cell in zip(columns, row, strict=False):
            draw.text((x, 25 + number * 2 * px), cell, font=font, fill="black")
    turned = page.rotate(degrees, PillowImage.Resampling.BICUBIC, expand=True, fillcolor="white")
    return np.asarray(turned)


def a_receipt(*, degrees: float = 0.0) -> Image:
    return a_page(RECEIPT, columns=RECEIPT_COLUMNS, degrees=degrees)


def a_box(x: float, y: float, width: float, height: float = 20.0, *, degrees: float = 0.0) -> Corners:
    """Corners of a line whose page is turned clockwise about the origin."""
    angle = np.radians(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    points = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)]) @ turn
    one, two, three, four = ((float(left), float(top)) for left, top in points)
    return one, two, three, four
