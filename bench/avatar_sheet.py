"""Sheets of animals: the astronaut that scikit-image ships as every animal, and as a few in hard poses.

`python -m bench.avatar_sheet` writes `docs/avatars.jpg` and `docs/avatars_poses.jpg`; `--data FOLDER` the portraits of
a folder into `out/avatars.jpg` instead (not to be published: they are other people's); `--animals fox,cat` only these.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from configs.animals import Animal, load_animals
from configs.settings import Settings
from deployments.contracts import Image
from deployments.engines.face_locator import FaceLocator
from deployments.engines.local_avatars import LocalAvatarArtist
from deployments.engines.local_segmenter import LocalSegmenter
from deployments.portraits import AvatarMode, AvatarRequest, Segmentation

DOCS, OUT = Path("docs"), Path("out")
_MODES: tuple[AvatarMode, ...] = ("overlay", "character")
_POSING = ("fox", "owl", "cat")
_SIDE, _GAP, _CAPTION = 260, 4, 26
_COLUMNS = 6
_PORTRAITS = 12
_INK, _PAPER = "#22262b", "#ffffff"
_TOP = 40
"""Rows of backdrop above the astronaut, whose head touches the border: ears need room."""

Cell = tuple[str, Image]


def astronaut() -> Image:
    """With some more of its backdrop above."""
    import skimage.data

    photograph: Image = skimage.data.astronaut()
    edge = cv2.GaussianBlur(photograph[:1], (0, 0), 30, borderType=cv2.BORDER_REPLICATE)
    backdrop = np.repeat(edge, _TOP, axis=0) + np.random.default_rng(1).normal(0, 2, (_TOP, photograph.shape[1], 1))
    return np.concatenate([np.clip(backdrop, 0, 255).astype(np.uint8), photograph])


def poses(portrait: Image) -> dict[str, Image]:
    portrait = np.ascontiguousarray(portrait[:380, 40:420])
    height, width = portrait.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -25, 1)
    small = cv2.resize(portrait, None, fx=0.36, fy=0.36, interpolation=cv2.INTER_AREA)
    people = []
    for scale in (0.7, 1.0, 0.5):
        one = cv2.resize(portrait[:, 40:330], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        people.append(cv2.copyMakeBorder(one, height - one.shape[0], 0, 0, 0, cv2.BORDER_REPLICATE))
    grey = np.repeat(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return {
        "turned by 25°": np.asarray(cv2.warpAffine(portrait, turn, (width, height), borderMode=cv2.BORDER_REFLECT)),
        "turned by 90°": np.ascontiguousarray(np.rot90(portrait, -1)),
        "small": np.asarray(small),
        "several": np.concatenate(people, axis=1),
        "cut by the border": np.ascontiguousarray(portrait[60:300, 178:]),
        "grey": grey,
    }


class Studio:
    def __init__(self) -> None:
        weights = Settings().weights_dir
        self._segmenter = LocalSegmenter(weights, FaceLocator(weights))
        self._artist = LocalAvatarArtist()

    def segment(self, image: Image) -> Segmentation:
        return self._segmenter.segment(image)

    def draw(self, image: Image, segmentation: Segmentation, animal: Animal, mode: AvatarMode) -> Image:
        return self._artist.render(AvatarRequest(image, animal.name, mode, segmentation)).image


def cells_of_animals(studio: Studio, animals: list[Animal]) -> list[Cell]:
    portrait = astronaut()
    segmentation = studio.segment(portrait)
    top, bottom, left, right = 0, 300, 75, 375
    return [
        (
            f"{animal.title}, {mode}",
            studio.draw(portrait, segmentation, animal, mode)[top:bottom, left:right],
        )
        for animal in animals
        for mode in _MODES
    ]


def cells_of_poses(studio: Studio, animals: list[Animal]) -> list[Cell]:
    cells = []
    posing = [animal for animal in animals if animal.name in _POSING] or animals[:3]
    pictures = {name: (picture, studio.segment(picture)) for name, picture in poses(astronaut()).items()}
    for animal in posing:
        for mode in _MODES:
            for name, (picture, segmentation) in pictures.items():
                cells.append((f"{animal.title}: {name}", studio.draw(picture, segmentation, animal, mode)))
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


def sheet(cells: list[Cell], columns: int) -> Pillow.Image:
    lines = -(-len(cells) // columns)
    size = (columns * (_SIDE + _GAP) + _GAP, lines * (_SIDE + _CAPTION) + _GAP)
    paper = Pillow.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(15)
    for place, (caption, picture) in enumerate(cells):
        x, y = _GAP + place % columns * (_SIDE + _GAP), place // columns * (_SIDE + _CAPTION)
        shown = Pillow.fromarray(picture)
        scale = _SIDE / max(shown.size)
        shown = shown.resize((round(shown.width * scale), round(shown.height * scale)), Pillow.Resampling.LANCZOS)
        pen.text((x + 2, y + 5), caption, fill=_INK, font=font)
        paper.paste(shown, (x + (_SIDE - shown.width) // 2, y + _CAPTION + (_SIDE - shown.height) // 2))
    return paper


def save(paper: Pillow.Image, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    paper.save(target, quality=86, optimize=True, progressive=True)
    print(f"{target}: {paper.width}x{paper.height} px, {target.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of portraits, drawn into out/avatars.jpg")
    parser.add_argument("--animals", help="their names, with commas; default: all")
    parser.add_argument("--out", type=Path, default=DOCS, help="the folder of the two sheets")
    options = parser.parse_args()
    wanted = options.animals.split(",") if options.animals else list(load_animals())
    animals = [animal for animal in load_animals().values() if animal.drawing is not None and animal.name in wanted]
    studio = Studio()
    if options.data is not None:
        save(sheet(cells_of_folder(studio, animals, options.data), len(animals)), OUT / "avatars.jpg")
        return
    save(sheet(cells_of_animals(studio, animals), _COLUMNS), options.out / "avatars.jpg")
    save(sheet(cells_of_poses(studio, animals), len(poses(astronaut()))), options.out / "avatars_poses.jpg")


if __name__ == "__main__":
    main()
