"""Album throughput over HTTP against the same decoding and model work in a bare loop on the same cores.

`python -m bench.speed.album` starts a server of its own, times it, stops it, then times the loop. Both read the same
photographs, made from those that scikit-image ships; both run as many threads as the settings say. What HTTP adds is
all that a product needs: validation, hashing, storage, previews, the database, the queue. The clock and the processor
time of each process are told for uploading and embedding apart.
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
from numpy.typing import NDArray
from PIL import Image as PillowImage

from bench.report import Report
from bench.server import running_server
from bench.speed.processor import Phases
from configs.settings import Settings
from deployments.algorithms.images.decoding import read_picture
from deployments.algorithms.images.views import distinct_views, make_views
from deployments.contracts.arrays import Vectors
from deployments.embedding import make_engine as make_embedder
from deployments.engines.embedding.efficientnet import EfficientNetEmbedder
from deployments.engines.embedding.open_clip import OpenClipEmbedder
from deployments.faces import make_engine as make_face_finder

_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
_SIZE = (1600, 1200)
_BATCH = 8
_CLIENTS = 3


def photographs(count: int, seed: int = 0) -> list[bytes]:
    """Make JPEG files of 2 megapixels: shipped photographs, cropped, scaled, mirrored and relit at random."""
    folder = Path(skimage.__file__).parent / "data"
    originals = [np.asarray(PillowImage.open(next(folder.glob(f"{name}.*"))).convert("RGB")) for name in _PHOTOS]
    rng = np.random.default_rng(seed)
    files = []
    for number in range(count):
        picture = originals[number % len(originals)]
        height, width = picture.shape[:2]
        share = rng.uniform(0.75, 1.0)
        top, left = (int(rng.integers(0, max(1, side - int(side * share)))) for side in (height, width))
        crop = picture[top : top + int(height * share), left : left + int(width * share)]
        lit = np.clip(cv2.resize(crop, _SIZE, interpolation=cv2.INTER_CUBIC) * rng.uniform(0.7, 1.2), 0, 255)
        mirrored = lit[:, ::-1] if rng.random() < 0.5 else lit
        file = io.BytesIO()
        PillowImage.fromarray(mirrored.astype(np.uint8)).save(file, "JPEG", quality=88)
        files.append(file.getvalue())
    return files


def post_pictures(client: httpx.Client, batch: list[bytes]) -> list[str]:
    """Upload pictures in one request. -> their URLs"""
    parts = [("file", (f"{place}.jpg", data)) for place, data in enumerate(batch)]
    images = client.post("/images", files=parts).raise_for_status().json()["images"]
    return [image["url"] for image in images]


def over_http(files: list[bytes]) -> tuple[float, float, Phases]:
    """Upload in batches, a few clients at once, and embed the album. -> images a second, peak memory in bytes, phases

    The time is until the embeddings job ends; the analyses that it starts are not part of either measurement.
    """
    with (
        running_server(DARKROOM_JOBS__SYNC_WAIT_S="600") as server,
        httpx.Client(base_url=f"{server.url}/api/v1", timeout=600) as client,
    ):

        def upload(batch: list[bytes]) -> list[str]:
            return post_pictures(client, batch)

        def embed(urls: list[str], album: str) -> None:
            body = {"images": urls, "album_id": album}
            answer = client.post("/albums/embeddings", json=body).raise_for_status().json()
            if answer.get("embedded") != len(urls):
                raise RuntimeError(f"not all were embedded: {answer}")

        embed(upload(files[:_BATCH]), "warm")  # what a fresh server loads and tunes the loop has warm as well
        phases = Phases(server, len(files) - _BATCH)
        started = time.monotonic()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            urls = [url for batch in pool.map(upload, _batches(files[_BATCH:])) for url in batch]
        phases.end("uploading")
        embed(urls, "bench")
        phases.end("embedding")
        rate = len(urls) / (time.monotonic() - started)
        server.memory_bytes()
        return rate, float(server.peak_bytes), phases


def bare_loop(files: list[bytes]) -> float:
    """Decode, cut views, embed and find faces as the server does, with nothing around it. -> images a second"""
    settings = Settings()
    embedder, faces = make_embedder(settings), make_face_finder(settings)

    def work(data: bytes) -> None:
        image = read_picture(data, settings.limits.preview_px)[1]
        embed_views(embedder, make_views(image, embedder.input_px))
        faces.find(image)

    with ThreadPoolExecutor(settings.runtime.threads) as pool:
        list(pool.map(work, files[:_BATCH]))
        started = time.monotonic()
        list(pool.map(work, files[_BATCH:]))
        return (len(files) - _BATCH) / (time.monotonic() - started)


def embed_views(embedder: EfficientNetEmbedder | OpenClipEmbedder, views: NDArray[np.uint8]) -> Vectors:
    """Embed the views of an image as the deployment does: equal ones once."""
    kept, places = distinct_views(views)
    return embedder.embed(views[kept])[places]


def _batches(files: list[bytes]) -> list[list[bytes]]:
    return [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.album", description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=168)
    files = photographs(parser.parse_args().pictures)
    cv2.setNumThreads(1)
    http, peak, phases = over_http(files)
    bare = bare_loop(files)
    report = Report("album")
    report.add("over HTTP", http, "pictures/s")
    report.add("bare loop", bare, "pictures/s")
    report.add("HTTP / bare loop", http / bare, "", target=0.80)
    report.add("peak memory of the server", peak / 2**20, "MB")
    phases.report(report)
    report.finish()


if __name__ == "__main__":
    main()
