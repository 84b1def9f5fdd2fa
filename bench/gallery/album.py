"""Image of the README: an album of photographs that scikit-image ships, with the server's results.

`make gallery` uploads the photographs and edited copies of some, asks for tags, duplicates and people over HTTP, and
draws the answers into `docs/album.png`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFont, ImageOps

from bench.report import no_arguments
from bench.server import running_server

TARGET = Path("docs/album.png")
_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png")
_CELL, _GAP, _APART = 150, 6, 16
_WIDTH = 6 * _CELL + 7 * _APART
_INK, _PAPER, _ACCENT = "#22262b", "#ffffff", "#d9480f"


def album() -> dict[str, Image.Image]:
    """Make the album, name -> image: the photographs, and copies as people make them."""
    folder = Path(skimage.__file__).parent / "data"
    photos = {name.split(".")[0]: Image.open(folder / name).convert("RGB") for name in _PHOTOS}
    astronaut, cat, coffee = photos["astronaut"], photos["chelsea"], photos["coffee"]
    width, height = cat.size
    screen = Image.new("RGB", (width + 80, height + 420), "#101418")
    screen.paste(cat, (40, 180))
    sepia = np.clip(np.asarray(coffee.convert("L"))[..., None] * np.array([1.07, 0.86, 0.64]), 0, 255)
    copies = {
        "astronaut mirrored": ImageOps.mirror(astronaut),
        "astronaut cropped": astronaut.crop((60, 0, 420, 380)),
        "chelsea screenshot": screen,
        "chelsea turned": cat.rotate(90, expand=True),
        "coffee sepia": Image.fromarray(sepia.astype(np.uint8)),
        "coffee small": coffee.resize((180, 120)),
    }
    return photos | copies


def analyse(pictures: dict[str, Image.Image]) -> tuple[dict[str, str], dict[str, Any]]:
    """Upload and analyse the album. -> url -> name, and the detailed answers of tags, duplicates and clusters"""
    with running_server() as server, httpx.Client(base_url=f"{server.url}/api/v1", timeout=300) as client:
        files = [("file", (name, _png(picture))) for name, picture in pictures.items()]
        images = client.post("/images", files=files).raise_for_status().json()["images"]
        names = dict(zip((image["url"] for image in images), pictures, strict=True))
        client.post("/albums/embeddings", json={"images": list(names), "album_id": "demo"}).raise_for_status()
        answers = {
            route: client.post(f"/albums/{route}?detail=true", json={"album_id": "demo"}).raise_for_status().json()
            for route in ("tags", "duplicates", "clusters")
        }
    return names, answers


@dataclass(frozen=True, slots=True)
class AlbumCell:
    picture: str
    caption: str
    box: list[float] | None = None
    """Box of a face to mark."""
    gap: int = _GAP
    """Pixels before the cell."""


def draw(pictures: dict[str, Image.Image], names: dict[str, str], answers: dict[str, Any]) -> Image.Image:
    tagged = [
        AlbumCell(names[url], ", ".join(list(tags)[:3]) or "-")
        for url, tags in sorted(
            answers["tags"]["scores"].items(), key=lambda entry: list(pictures).index(names[entry[0]])
        )
        if " " not in names[url]
    ]
    copies, people = [], []
    for group in answers["duplicates"]["groups"]:
        members = [member["image"] for member in group["members"] if member["image"] != group["keep"]]
        copies += [AlbumCell(names[group["keep"]], f"keep: {group['keep_reason']}", gap=_APART)]
        copies += [AlbumCell(names[url], "copy") for url in members]
    for person in answers["clusters"]["people"]:
        cells = [AlbumCell(names[face["image"]], person["name"], face["bbox"]) for face in person["faces"]]
        people += [replace(cells[0], gap=_APART), *cells[1:]]
    strips = [
        _title("Tags"),
        *_rows(tagged, 6, pictures),
        _title("Duplicates: edited copies, and the one to keep"),
        *_rows(copies, 6, pictures),
        _title("People"),
        *_rows(people, 6, pictures),
    ]
    sheet = Image.new("RGB", (_WIDTH, sum(strip.height for strip in strips) + _GAP), _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _title(text: str) -> Image.Image:
    strip = Image.new("RGB", (_WIDTH, 36), _PAPER)
    ImageDraw.Draw(strip).text((_APART, 12), text, fill=_ACCENT, font=ImageFont.load_default(17))
    return strip


def _rows(cells: list[AlbumCell], columns: int, pictures: dict[str, Image.Image]) -> list[Image.Image]:
    return [_row(cells[start : start + columns], pictures) for start in range(0, len(cells), columns)]


def _row(cells: list[AlbumCell], pictures: dict[str, Image.Image]) -> Image.Image:
    small = [_thumbnail(pictures[cell.picture], cell.box) for cell in cells]
    height = max(picture.height for picture in small)
    row = Image.new("RGB", (_WIDTH, height + 26), _PAPER)
    pen, font = ImageDraw.Draw(row), ImageFont.load_default(13)
    left = _APART - cells[0].gap
    for cell, picture in zip(cells, small, strict=True):
        left += cell.gap
        row.paste(picture, (left + (_CELL - picture.width) // 2, (height - picture.height) // 2))
        pen.text((left + _CELL // 2, height + 4), cell.caption, fill=_INK, font=font, anchor="ma")
        left += _CELL
    return row


def _thumbnail(picture: Image.Image, box: list[float] | None) -> Image.Image:
    if box is not None:
        picture = picture.copy()
        ImageDraw.Draw(picture).rectangle(box, outline=_ACCENT, width=max(3, picture.width // 90))
    return ImageOps.contain(picture, (_CELL, _CELL), Image.Resampling.LANCZOS)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def main() -> None:
    no_arguments(__doc__)
    pictures = album()
    names, answers = analyse(pictures)
    draw(pictures, names, answers).quantize(200).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
