"""Avatars a second over HTTP against the same engines in a bare loop on the same cores.

`python -m bench.speed.avatars` starts a server of its own, times it, stops it, then times the loop. Both read the same
photographs: scikit-image's astronaut on a larger canvas, relit, mirrored and turned at random. HTTP adds all that
a product needs: validation, storage, the queue, the history.
"""

from __future__ import annotations

import argparse
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import skimage
from PIL import Image as PillowImage

from bench.report import Report
from bench.server import running_server
from bench.speed.processor import Phases
from configs.settings import Settings
from deployments.algorithms.images.decoding import decode, encode_jpeg
from deployments.assets.animals import load_animals
from deployments.contracts.portraits import AvatarTask
from deployments.engines.drawn.avatars import LocalAvatarArtist
from deployments.engines.faces.locator import FaceLocator
from deployments.engines.segmentation.local import LocalSegmenter

_SIDE = 1200
_WARM_UP = 4
_CLIENTS = 4
_MODES = ("overlay", "character")


def photographs(count: int, seed: int = 0) -> list[bytes]:
    """Make JPEG files of 1.4 megapixels with one face each."""
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    astronaut = cv2.resize(np.asarray(PillowImage.open(path).convert("RGB")), (_SIDE, _SIDE))
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(count):
        lit = np.clip(astronaut * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8)
        mirrored = lit[:, ::-1] if rng.random() < 0.5 else lit
        file = io.BytesIO()
        turned = PillowImage.fromarray(mirrored).rotate(rng.uniform(-20, 20), PillowImage.Resampling.BICUBIC)
        turned.save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def over_http(files: list[bytes]) -> tuple[float, float, Phases]:
    """Send an image a request, a few clients at once. -> avatars a second, peak memory in bytes, what they took"""
    with (
        running_server() as server,
        httpx.Client(base_url=f"{server.url}/api/v1", timeout=600) as client,
    ):

        def post(number: int) -> None:
            animal, mode = _order(number)
            form = {"animal": animal, "mode": mode}
            answer = client.post("/avatars", data=form, files={"file": ("portrait.jpg", files[number])})
            if len(answer.raise_for_status().json()["faces"]) != 1:
                raise RuntimeError(f"not one face: {answer.text}")

        with ThreadPoolExecutor(_CLIENTS) as pool:
            list(pool.map(post, range(_WARM_UP)))
            phases = Phases(server, len(files) - _WARM_UP)
            started = time.monotonic()
            list(pool.map(post, range(_WARM_UP, len(files))))
        rate = (len(files) - _WARM_UP) / (time.monotonic() - started)
        phases.end("avatars")
        server.memory_bytes()
        return rate, float(server.peak_bytes), phases


def bare_loop(files: list[bytes]) -> float:
    """Decode, segment, draw and encode as the server does, with nothing around it. -> avatars a second"""
    settings = Settings()
    locator = FaceLocator(
        settings.weights_dir, settings.runtime.threads, settings.faces.min_score, settings.faces.smallest_px
    )
    segmenter = LocalSegmenter(settings.weights_dir, locator, settings.runtime.threads)
    artist = LocalAvatarArtist()

    def work(number: int) -> None:
        animal, mode = _order(number)
        image = decode(files[number], settings.avatars.max_px)
        request = AvatarTask(image, animal, mode, segmenter.segment(image))  # type: ignore[arg-type]
        encode_jpeg(artist.render(request).image, 95)

    with ThreadPoolExecutor(settings.runtime.threads) as pool:
        list(pool.map(work, range(_WARM_UP)))
        started = time.monotonic()
        list(pool.map(work, range(_WARM_UP, len(files))))
        return (len(files) - _WARM_UP) / (time.monotonic() - started)


def _order(number: int) -> tuple[str, str]:
    animals = list(load_animals())
    return animals[number % len(animals)], _MODES[number // len(animals) % len(_MODES)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.avatars", description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=100)
    files = photographs(parser.parse_args().pictures)
    cv2.setNumThreads(1)
    http, peak, phases = over_http(files)
    bare = bare_loop(files)
    report = Report("avatars")
    report.add("over HTTP", http, "avatars/s")
    report.add("bare loop", bare, "avatars/s")
    report.add("HTTP / bare loop", http / bare, "", target=0.80)
    report.add("peak memory of the server", peak / 2**20, "MB")
    phases.report(report)
    report.finish()


if __name__ == "__main__":
    main()
