"""Sheets of avatars: the astronaut that scikit-image ships as every animal, and as three in hard poses.

`python -m bench.gallery.avatars` writes `docs/avatars.jpg` and `docs/avatars_poses.jpg`; `--data FOLDER` the portraits
of a folder into `out/avatars.jpg` instead (other people's, not to be published); `--animals fox,cat` only these.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from configs.settings import Settings
from deployments.algorithms.avatars.infill import behind
from deployments.assets.animals import Animal, load_animals
from deployments.contracts.arrays import Gray, Image
from deployments.contracts.portraits import AvatarMode, AvatarTask, Segmentation
from deployments.engines.drawn.avatars import LocalAvatarArtist
from deployments.engines.faces.locator import FaceLocator
from deployments.engines.segmentation.local import LocalSegmenter

DOCS, OUT = Path("docs"), Path("out")
_MODES: tuple[AvatarMode, ...] = ("overlay", "character")
_POSING = ("fox", "owl", "frog")
"""Animals in hard poses: fur, feathers and skin."""
_SIDE, _GAP, _CAPTION = 306, 6, 28
_COLUMNS, _POSES = 5, 6
_PORTRAITS = 12
_INK, _PAPER = "#22262b", "#ffffff"
_MOST_BYTES = 900_000
_ABOVE = 130
"""Rows of backdrop that are added above the astronaut, whose head touches the border: ears need room."""

Cell = tuple[str, Image]


def astronaut() -> Image:
    """The astronaut, `uint8[642, 512, 3]`, with more of its backdrop above."""
    import skimage.data

    photograph: Image = skimage.data.astronaut()
    columns = np.arange(photograph.shape[1])
    # What is seen of it at the border goes on, behind the rocket too; so does the flag.
    seen = (columns < 395) | (columns > 448)
    edge = photograph[:6].astype(np.float32).mean(axis=0)
    edge = np.stack([np.interp(columns, columns[seen], edge[seen, k]) for k in range(3)], axis=1)
    plain = cv2.GaussianBlur(edge[None, 48:], (0, 0), 9, borderType=cv2.BORDER_REPLICATE)
    backdrop = np.repeat(np.concatenate([edge[None, :48], plain], axis=1), _ABOVE, axis=0)
    # Its clouds and its weave, from where nobody stands.
    place = photograph[:_ABOVE, 302:374].astype(np.float32)
    clouds = cv2.GaussianBlur(place, (0, 0), 5)
    far = np.linspace(1, 0, _ABOVE)[:, None, None]
    pattern = (clouds - clouds.mean(axis=(0, 1))) * np.minimum(2.5 * far, 1) + place - clouds
    backdrop[:, 48:] += np.pad(pattern[::-1], ((0, 0), (0, backdrop.shape[1]), (0, 0)), "symmetric")[
        :, : len(columns) - 48
    ]
    larger = np.concatenate([np.clip(backdrop, 0, 255).astype(np.uint8), photograph])
    seam = (slice(_ABOVE - 10, _ABOVE + 10), slice(48, 395))
    smooth = cv2.GaussianBlur(larger, (0, 0), 6)[seam]
    share = np.sin(np.linspace(0, np.pi, 20))[:, None, None]
    larger[seam] = np.round(larger[seam] + share * (smooth.astype(np.float32) - larger[seam]))
    return larger


def portrait_of(photograph: Image) -> Image:
    """Cut the square around the head."""
    return np.ascontiguousarray(photograph[_ABOVE - 84 : _ABOVE + 260, 52:396])


def poses(photograph: Image, person: Gray) -> dict[str, Image]:
    """Squares of the astronaut in hard poses."""
    turn = cv2.getRotationMatrix2D((224, _ABOVE + 110), -25, 1)
    turned = cv2.warpAffine(photograph, turn, photograph.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    portrait = portrait_of(photograph)
    return {
        "turned by 25°": portrait_of(np.asarray(turned)),
        "turned by 90°": np.ascontiguousarray(np.rot90(portrait, -1)),
        "small": np.asarray(cv2.resize(photograph[_ABOVE - 80 : -50], (170, 170), interpolation=cv2.INTER_AREA)),
        "several": _group(photograph, person),
        "cut by the border": np.ascontiguousarray(photograph[_ABOVE + 20 : _ABOVE + 240, 222:442]),
        "grey": np.repeat(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
    }


def _group(photograph: Image, person: Gray) -> Image:
    """Three astronauts of different sizes before one backdrop."""
    side = photograph.shape[1]
    canvas = behind(photograph.astype(np.float32), person, 8)[-side:]
    for scale, left, mirrored in ((0.62, -0.14, True), (0.5, 0.58, False), (0.86, 0.1, False)):
        size = (round(side * scale), round(photograph.shape[0] * scale))
        one, mask = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (photograph, person))
        if mirrored:
            one, mask = one[:, ::-1], mask[:, ::-1]
        x = round(left * side)
        rows, columns = slice(max(0, side - size[1]), side), slice(max(0, x), min(side, x + size[0]))
        part = (slice(-(rows.stop - rows.start), None), slice(columns.start - x, columns.stop - x))
        share = mask[part][..., None].astype(np.float32) / 255
        canvas[rows, columns] += (one[part] - canvas[rows, columns]) * share
    return np.clip(canvas, 0, 255).astype(np.uint8)


class Studio:
    def __init__(self) -> None:
        weights = Settings().weights_dir
        self._segmenter = LocalSegmenter(weights, FaceLocator(weights))
        self._artist = LocalAvatarArtist()

    def segment(self, image: Image) -> Segmentation:
        return self._segmenter.segment(image)

    def draw(self, image: Image, segmentation: Segmentation, animal: Animal, mode: AvatarMode) -> Image:
        return self._artist.render(AvatarTask(image, animal.name, mode, segmentation)).image


def cells_of_animals(studio: Studio, animals: list[Animal]) -> list[Cell]:
    photograph = astronaut()
    segmentation = studio.segment(photograph)
    cells = [("The photograph", portrait_of(photograph))]
    for mode in _MODES:
        for animal in animals:
            made = studio.draw(photograph, segmentation, animal, mode)
            cells.append((f"{animal.title}, {mode}", portrait_of(made)))
    return cells


def cells_of_poses(studio: Studio, animals: list[Animal]) -> list[Cell]:
    cells = []
    posing = [animal for animal in animals if animal.name in _POSING] or animals[:3]
    photograph = astronaut()
    pictures = poses(photograph, studio.segment(photograph).person_mask)
    segmented = {name: (picture, studio.segment(picture)) for name, picture in pictures.items()}
    for animal in posing:
        for mode in _MODES:
            for name, (picture, segmentation) in segmented.items():
                cells.append((f"{animal.title}, {name}", studio.draw(picture, segmentation, animal, mode)))
    return cells


def cells_of_folder(studio: Studio, animals: list[Animal], folder: Path) -> list[Cell]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".png", ".webp"})
    cells = []
    for place, path in enumerate(files[:: max(1, len(files) // _PORTRAITS)]):
        picture = np.asarray(Pillow.open(path).convert("RGB"))
        segmentation = studio.segment(picture)
        for animal in animals:
            mode = _MODES[place % 2]
            if segmentation.faces:
                cells.append((f"{path.stem}, {animal.name}", studio.draw(picture, segmentation, animal, mode)))
    return cells


def sheet(cells: list[Cell], columns: int, side: int = _SIDE) -> Pillow.Image:
    lines = -(-len(cells) // columns)
    size = (columns * (side + _GAP) + _GAP, lines * (side + _CAPTION) + _GAP)
    paper = Pillow.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(17)
    for place, (caption, picture) in enumerate(cells):
        x, y = _GAP + place % columns * (side + _GAP), place // columns * (side + _CAPTION)
        shown = Pillow.fromarray(picture)
        scale = side / max(shown.size)
        shown = shown.resize((round(shown.width * scale), round(shown.height * scale)), Pillow.Resampling.LANCZOS)
        pen.text((x + 1, y + 5), caption, fill=_INK, font=font)
        paper.paste(shown, (x + (side - shown.width) // 2, y + _CAPTION + (side - shown.height) // 2))
    return paper


def save(paper: Pillow.Image, target: Path) -> None:
    """Save a JPEG at the best quality that fits in 900 kB."""
    target.parent.mkdir(exist_ok=True)
    for quality in range(88, 50, -4):
        paper.save(target, quality=quality, optimize=True, progressive=True)
        if target.stat().st_size <= _MOST_BYTES:
            break
    print(f"{target}: {paper.width}x{paper.height} px, {target.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of portraits, drawn into out/avatars.jpg")
    parser.add_argument("--animals", help="their names, with commas; default: all")
    parser.add_argument("--out", type=Path, default=DOCS, help="the folder of the two sheets")
    options = parser.parse_args()
    wanted = options.animals.split(",") if options.animals else list(load_animals())
    animals = [animal for animal in load_animals().values() if animal.name in wanted]
    studio = Studio()
    if options.data is not None:
        save(sheet(cells_of_folder(studio, animals, options.data), len(animals)), OUT / "avatars.jpg")
        return
    save(sheet(cells_of_animals(studio, animals), _COLUMNS), options.out / "avatars.jpg")
    save(sheet(cells_of_poses(studio, animals), _POSES, 256), options.out / "avatars_poses.jpg")


if __name__ == "__main__":
    main()
