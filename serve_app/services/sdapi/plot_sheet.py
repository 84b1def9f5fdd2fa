"""Tables of images with the names of their columns and rows."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from deployments.contracts.arrays import Image
from serve_app.services.sdapi.plot_font import Font, choose_font

_LEAST_FONT_PX, _FONT_SHARE = 10, 20
_INK, _PAPER = (0, 0, 0), (255, 255, 255)
_LONGEST_NAME = 200


def lay_out(
    images: Sequence[Image], columns: int, names: tuple[Sequence[str], Sequence[str]] = ((), ()), margin: int = 0
) -> Image:
    """Lay out images, row by row, with the names of columns and rows where there are any. -> `uint8[H, W, 3]`

    `margin`: white pixels between images. Smaller images lie in the middle of their cells.
    """
    rows = -(-len(images) // columns)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    given = [name[:_LONGEST_NAME] for some in names for name in some]
    font, written = choose_font(given, max(_LEAST_FONT_PX, min(height, width) // _FONT_SHARE))
    above, beside = written[: len(names[0])], written[len(names[0]) :]
    top = _height(above, font, width) if any(above) else 0
    left = width // 3 if any(beside) else 0
    size = (left + columns * width + (columns - 1) * margin, top + rows * height + (rows - 1) * margin)
    sheet = PillowImage.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        x, y = left + column * (width + margin), top + row * (height + margin)
        offset = ((width - image.shape[1]) // 2, (height - image.shape[0]) // 2)
        sheet.paste(PillowImage.fromarray(image), (x + offset[0], y + offset[1]))
        if row == 0 and top:
            _write(pen, above[column], font, (x + width / 2, top / 2), width)
        if column == 0 and left:
            _write(pen, beside[row], font, (left / 2, y + height / 2), left)
    return np.asarray(sheet, np.uint8)


def _lines(name: str, font: Font, width: float) -> str:
    letter = max(font.getlength("n"), font.getlength(name) / max(1, len(name)), 1.0)
    return "\n".join(wrap(name, max(4, int(width / letter) - 2)))


def _height(names: Sequence[str], font: Font, width: float) -> int:
    line = font.getbbox("Ag")[3]
    return int(line * (1.5 * max(_lines(name, font, width).count("\n") + 1 for name in names) + 1))


def _write(
    pen: ImageDraw.ImageDraw,
    name: str,
    font: Font,
    middle: tuple[float, float],
    width: float,
) -> None:
    text = _lines(name, font, width)
    pen.multiline_text(middle, text, _INK, font, anchor="mm", align="center")
