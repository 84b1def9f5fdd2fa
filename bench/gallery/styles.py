"""Sheet of styles: three photographs that scikit-image ships, in every style as the local engine draws it.

`python -m bench.gallery.styles` writes `docs/styles.jpg`; `--full FOLDER` also every single picture at full size.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFont

from configs.styles import Style, load_styles
from deployments.engines.drawn.styles import LocalStylist

TARGET = Path("docs/styles.jpg")
_PHOTOS = {"astronaut.png": (40, 0, 420, 380), "chelsea.png": (80, 0, 380, 300), "coffee.png": (110, 0, 510, 400)}
"""Photographs, and the square of each that is shown."""
_SEED = 7
_BLOCKS = 2
"""Number of styles in a row."""
_SIDE, _GAP, _APART, _CAPTION = 256, 4, 18, 30
_INK, _PAPER = "#22262b", "#ffffff"


def photographs() -> dict[str, Image.Image]:
    folder = Path(skimage.__file__).parent / "data"
    return {Path(name).stem: Image.open(folder / name).convert("RGB").crop(box) for name, box in _PHOTOS.items()}


def strips(photos: dict[str, Image.Image], full: Path | None) -> Iterator[tuple[str, list[Image.Image]]]:
    """Make the strips: the photographs, then the drawings of each style."""
    yield "Photographs", list(photos.values())
    stylist = LocalStylist()
    for style in load_styles().values():
        drawings = [_drawn(stylist, style, photo) for photo in photos.values()]
        if full is not None:
            for name, drawing in zip(photos, drawings, strict=True):
                drawing.save(full / f"{style.name}_{name}.png")
        yield style.title, drawings


def _drawn(stylist: LocalStylist, style: Style, photo: Image.Image) -> Image.Image:
    return Image.fromarray(stylist.render(np.asarray(photo), style, seed=_SEED))


def draw(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    blocks = [_strip(title, pictures) for title, pictures in rows]
    width, height = blocks[0].size
    lines = -(-len(blocks) // _BLOCKS)
    sheet = Image.new("RGB", (_BLOCKS * (width + _APART) + _APART, lines * (height + _GAP) + _APART), _PAPER)
    for place, block in enumerate(blocks):
        sheet.paste(block, (_APART + place % _BLOCKS * (width + _APART), place // _BLOCKS * (height + _GAP) + _GAP))
    return sheet


def _strip(title: str, pictures: list[Image.Image]) -> Image.Image:
    strip = Image.new("RGB", (len(pictures) * (_SIDE + _GAP) - _GAP, _SIDE + _CAPTION), _PAPER)
    ImageDraw.Draw(strip).text((0, 7), title, fill=_INK, font=ImageFont.load_default(17))
    for place, picture in enumerate(pictures):
        strip.paste(picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (place * (_SIDE + _GAP), _CAPTION))
    return strip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", type=Path, help="folder for every single picture at full size")
    full: Path | None = parser.parse_args().full
    if full is not None:
        full.mkdir(parents=True, exist_ok=True)
    sheet = draw(list(strips(photographs(), full)))
    sheet.save(TARGET, quality=88, optimize=True, progressive=True)
    print(f"{TARGET}: {sheet.width}x{sheet.height} px, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
