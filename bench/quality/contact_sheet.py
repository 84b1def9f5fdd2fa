"""Contact sheet of mistakes: small images in rows, each row under a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from deployments.contracts.arrays import Image as Pixels

_CELL = 120
_COLUMNS = 10
_LINE = 18
_MAX_ROWS = 120


@dataclass(frozen=True, slots=True)
class Mistake:
    """What went wrong, with the images that show it: files, or pixels of what was made for the purpose."""

    what: str
    pictures: Sequence[Path | Pixels]

    @property
    def names(self) -> list[str]:
        """Names of the images that are files."""
        return [one.name for one in self.pictures if isinstance(one, Path)]

    def view(self) -> dict[str, object]:
        return {"what": self.what, "pictures": self.names}


def write_contact_sheet(mistakes: Sequence[Mistake], path: Path) -> None:
    """Write a PNG with a strip for each mistake; the first 120 strips."""
    font = ImageFont.load_default(14)
    strips = [_strip(mistake, font) for mistake in mistakes[:_MAX_ROWS]] or [_strip(Mistake("no mistakes", []), font)]
    sheet = Image.new("RGB", (_COLUMNS * _CELL, sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.save(path)


def _strip(mistake: Mistake, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    rows = -(-len(mistake.pictures) // _COLUMNS)
    strip = Image.new("RGB", (_COLUMNS * _CELL, _LINE + rows * _CELL), "white")
    ImageDraw.Draw(strip).text((4, 1), mistake.what, fill="black", font=font)
    for place, picture in enumerate(mistake.pictures):
        at = (place % _COLUMNS * _CELL, _LINE + place // _COLUMNS * _CELL)
        strip.paste(_thumbnail(picture), at)
    return strip


def _thumbnail(picture: Path | Pixels) -> Image.Image:
    try:
        with Image.open(picture) if isinstance(picture, Path) else Image.fromarray(picture) as image:
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((_CELL - 4, _CELL - 4))
            return small
    except (UnidentifiedImageError, OSError):
        return Image.new("RGB", (_CELL - 4, _CELL - 4), "grey")
