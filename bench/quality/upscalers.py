"""Upscalers that npm packages ship, against Lanczos: `python -m bench.quality.upscalers [tuned|reported]`.

The middle of photographs that ship in Python packages is shrunk by 2 and by 4 (bicubic, as the networks were trained),
enlarged again by Lanczos and by each network, and compared with what it was. A network of 4x is also asked for 2x, its
result reduced. Prints how far each network lies from the sample that its package ships, then a table in Markdown: PSNR
and SSIM, how far they lie from Lanczos' with intervals of 95 % (bootstrap over photographs), for how many PSNR is
higher, and seconds of one core for a megapixel of the result. Writes `out/upscalers_HALF_SCALEx.png`, a photograph a
row: original, shrunk, and each way of enlarging in the table's order.

The packages are fetched into `out/upscalers` by the client of the weights manifest, their hashes checked.
"""

from __future__ import annotations

import argparse
import math
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image as PillowImage
from skimage.metrics import structural_similarity

from bench.quality.copies import sources
from bench.quality.copies.drawing import clipped
from bench.quality.figures import Figure, bootstrap
from bench.quality.layers_model import image_network
from deployments.contracts.arrays import Image
from deployments.weights.conversion.layers_model import member_of, read_package
from deployments.weights.fetching import fetch
from deployments.weights.packages import Package

OUT = Path("out")
SCALES = (2, 4)
_SIDE_PX = 384
"""Side of the part of a photograph that is compared; a multiple of every scale."""
_SHOWN_PX = 192
"""Side of the part that the sheet shows, twice as large."""
_HALVES = {"tuned": sources.TUNED, "reported": sources.REPORTED}
Enlarge = Callable[[Image], Image]


@dataclass(frozen=True, slots=True)
class Source:
    """A package of networks, one for each scale."""

    sha256: str
    megabytes: int
    most: float
    """Highest level of a pixel as the networks have it."""

    def package(self, name: str) -> Package:
        """Describe the package to the client."""
        return Package(f"@upscalerjs/{name}", "1.0.0", self.sha256, self.megabytes, "MIT", (), registry="npm")


SOURCES = {
    "esrgan-slim": Source("b53070ff01363e74d33138106dcc72b58d341c9fb7e8fd648554a4e7744142b5", 5, 255.0),
    "esrgan-medium": Source("367471ded0629387b9aabc75183be0b80d39d46c3f509945ebde4f5bf7a49627", 12, 255.0),
    "esrgan-thick": Source("3d38971084d8281bf68da443085c7eb65355fb28aa81b33b54f950cca6328a15", 111, 1.0),
}


class Network:
    """A network of a package on one core. `enlarge` takes and gives `uint8[H, W, 3]`."""

    def __init__(self, archive: Path, scale: int, most: float) -> None:
        model, weights = read_package(archive, f"package/models/x{scale}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            image_network(model, weights), options, providers=["CPUExecutionProvider"]
        )
        self._most = most

    def enlarge(self, image: Image) -> Image:
        """Enlarge an image by the network's scale."""
        levels = image.astype(np.float32).transpose(2, 0, 1)[None] * (self._most / 255)
        made = self._session.run(None, {"x": levels})[0][0]
        return clipped(made.transpose(1, 2, 0) * (255 / self._most))


def from_its_sample(archive: Path, scale: int, most: float) -> int:
    """Compute how far, in grey levels, the network's result lies from the one that its package ships of its sample."""
    with tarfile.open(archive) as package:
        sample, result = (
            np.asarray(PillowImage.open(member_of(package, f"package/assets/{name}")).convert("RGB"), np.uint8)
            for name in ("fixture.png", f"samples/{scale}x/result.png")
        )
    return int(np.abs(Network(archive, scale, most).enlarge(sample).astype(int) - result).max())


@dataclass(slots=True)
class Outcome:
    """What a way of enlarging made of each photograph."""

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """For a megapixel of the result."""


def psnr(image: Image, other: Image) -> float:
    """Compute the peak signal-to-noise ratio in decibels, over all channels."""
    error = float(np.mean((image.astype(np.float64) - other) ** 2))
    return 10 * math.log10(255**2 / max(error, 1e-9))


def middle(photo: Image, side: int) -> Image:
    """Cut the middle out of a photograph, at most `side` high and wide, a multiple of the largest scale."""
    largest = max(SCALES)
    height, width = (min(side, int(length) // largest * largest) for length in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return np.ascontiguousarray(photo[top : top + height, left : left + width])


def mean_difference(values: Sequence[float], than: Sequence[float]) -> Figure:
    """Estimate how much higher the values of photographs are than others of the same ones."""
    parts = np.column_stack([np.subtract(values, than), np.ones(len(values))])
    return bootstrap(parts, lambda sums: sums[:, 0] / sums[:, 1])


def ways_of(scale: int, archives: dict[str, Path]) -> dict[str, Enlarge]:
    """Make the ways of enlarging by a scale; Lanczos is the first."""
    ways: dict[str, Enlarge] = {"Lanczos": partial(_resized, scale=scale, by=cv2.INTER_LANCZOS4)}
    for name, archive in archives.items():
        ways[name] = Network(archive, scale, SOURCES[name].most).enlarge
        if scale == 2:
            ways[f"{name}, 4x reduced"] = partial(_reduced, Network(archive, 4, SOURCES[name].most).enlarge)
    return ways


def _resized(image: Image, scale: float, by: int) -> Image:
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=by), np.uint8)


def _reduced(enlarge: Enlarge, image: Image) -> Image:
    return _resized(enlarge(image), 0.5, cv2.INTER_AREA)


def shrunk(photo: Image, scale: int) -> Image:
    """Shrink by a scale, bicubic over all pixels that a new one covers."""
    size = (photo.shape[1] // scale, photo.shape[0] // scale)
    return np.asarray(PillowImage.fromarray(photo).resize(size, PillowImage.Resampling.BICUBIC), np.uint8)


def compare(photos: dict[str, Image], ways: dict[str, Enlarge], scale: int, sheet: Path) -> dict[str, Outcome]:
    """Enlarge the shrunk middles of photographs in each way, and write the sheet."""
    outcomes = {way: Outcome() for way in ways}
    rows = []
    for photo in photos.values():
        original = middle(photo, _SIDE_PX)
        small = shrunk(original, scale)
        row = [original, _resized(small, scale, cv2.INTER_NEAREST)]
        for way, enlarge in ways.items():
            before = time.process_time()
            made = enlarge(small)
            spent = time.process_time() - before
            outcome = outcomes[way]
            outcome.psnr.append(psnr(original, made))
            outcome.ssim.append(float(structural_similarity(original, made, channel_axis=2)))
            outcome.seconds.append(spent * 1e6 / (made.shape[0] * made.shape[1]))
            row.append(made)
        rows.append(np.hstack([_shown(one) for one in row]))
    cv2.imwrite(str(sheet), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    return outcomes


def _shown(image: Image) -> Image:
    """Cut out what the sheet shows and double its pixels, on a square where the photograph is smaller."""
    part = middle(image, _SHOWN_PX)
    square = np.full((_SHOWN_PX, _SHOWN_PX, 3), 255, np.uint8)
    square[: part.shape[0], : part.shape[1]] = part
    return _resized(square, 2, cv2.INTER_NEAREST)


def table(outcomes: dict[str, Outcome], scale: int, half: str) -> str:
    """Write the figures as Markdown."""
    lines = [
        f"| {scale}x, {half} | PSNR | over Lanczos | higher for | SSIM | over Lanczos | s/MP |",
        "|---|---|---|---|---|---|---|",
    ]
    lanczos = outcomes["Lanczos"]
    for way, one in outcomes.items():
        over = [
            "" if one is lanczos else _signed(mean_difference(mine, its), digits)
            for mine, its, digits in ((one.psnr, lanczos.psnr, 2), (one.ssim, lanczos.ssim, 3))
        ]
        higher = sum(mine > its for mine, its in zip(one.psnr, lanczos.psnr, strict=True))
        won = "" if one is lanczos else f"{higher} of {len(one.psnr)}"
        lines.append(
            f"| {way} | {np.mean(one.psnr):.2f} | {over[0]} | {won} | {np.mean(one.ssim):.3f} | {over[1]} "
            f"| {np.median(one.seconds):.3g} |"
        )
    return "\n".join(lines)


def _signed(figure: Figure, digits: int) -> str:
    return f"{figure.value:+.{digits}f} ({figure.low:+.{digits}f} to {figure.high:+.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.upscalers", description=__doc__)
    parser.add_argument("half", choices=sorted(_HALVES), nargs="?", default="reported")
    half: str = parser.parse_args().half
    cv2.setNumThreads(1)
    downloads = OUT / "upscalers"
    downloads.mkdir(parents=True, exist_ok=True)
    archives = {name: fetch(source.package(name), downloads.absolute()) for name, source in SOURCES.items()}
    for name, archive in archives.items():
        furthest = max(from_its_sample(archive, scale, SOURCES[name].most) for scale in SCALES)
        print(f"{name}: at most {furthest} grey levels from what its package shows as its result")
    print()
    photos = sources.load(_HALVES[half])
    for scale in SCALES:
        sheet = OUT / f"upscalers_{half}_{scale}x.png"
        print(table(compare(photos, ways_of(scale, archives), scale, sheet), scale, half), end="\n\n")


if __name__ == "__main__":
    main()
