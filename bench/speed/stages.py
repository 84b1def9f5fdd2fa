"""Processor time a picture of each stage of an album: `python -m bench.speed.stages [--pictures 48] [--server]`.

The stages are called one after the other in this process, with the pictures of `bench.speed.album` and the settings of
the environment; face vectors are computed by each of the local networks. `--server`: sends the pictures to a server as
well, and prints what each of its processes took a picture until the album and its follow-up jobs had ended, the
database among them. Processor time tells what a stage costs also where other work goes on beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import httpx
import numpy as np
from rich.console import Console
from rich.table import Table
from starlette.datastructures import Headers

from bench.report import machine
from bench.server import running_server
from bench.speed.album import embed_views, photographs, post_pictures
from bench.speed.processor import KINDS, processor_s
from configs.settings import Settings
from deployments.algorithms.duplicates.candidates import ALWAYS, find_candidates
from deployments.algorithms.duplicates.features import FeatureLimits, describe
from deployments.algorithms.duplicates.verdict import CopyCriteria, verify_pair
from deployments.algorithms.images.decoding import encode_jpeg, read_picture
from deployments.algorithms.images.previews import decode_preview
from deployments.algorithms.images.quality import assess
from deployments.algorithms.images.views import make_views
from deployments.contracts.arrays import Image
from deployments.embedding import make_engine as make_embedder
from deployments.engines.faces.embedder import NETWORKS
from deployments.engines.faces.local import LocalFaceEngine
from deployments.faces import make_locator
from deployments.tagging import make_engine as make_tagger
from serve_app.api.forms import BoundedForm
from serve_app.storage.local import LocalStorage

T = TypeVar("T")
_UPLOAD = 8
"""Files in one form."""
_CLIENTS = 3
_POLL_S = 0.2


class Stages:
    """Processor seconds by stage."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)

    def measure(self, stage: str, work: Callable[..., T], *arguments: object) -> T:
        """Do the work, its processor time added to the stage's."""
        started = time.process_time()
        result = work(*arguments)
        self._seconds[stage] += time.process_time() - started
        return result

    async def wait(self, stage: str, work: Awaitable[T]) -> T:
        """Wait for the work, its processor time added to the stage's."""
        started = time.process_time()
        result = await work
        self._seconds[stage] += time.process_time() - started
        return result

    def of_a_picture(self, pictures: int) -> dict[str, float]:
        """Milliseconds of each stage, in the order in which they were measured first."""
        return {stage: 1000 * seconds / pictures for stage, seconds in self._seconds.items()}


def measure_stages(files: list[bytes]) -> dict[str, float]:
    """Take every file through every stage, after some that warm up. -> milliseconds a picture"""
    settings = Settings()
    pipeline = _Pipeline(settings)
    pipeline.run(files[:_UPLOAD], Stages())
    stages = Stages()
    pipeline.run(files[_UPLOAD:], stages)
    return stages.of_a_picture(len(files) - _UPLOAD)


class _Pipeline:
    """The stages of an album, over engines that are opened once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedder = make_embedder(settings)
        self._tagger, _ = make_tagger(settings)
        self._locator = make_locator(settings)
        self._networks = {
            name: LocalFaceEngine(settings.weights_dir, self._locator, name)
            for name in NETWORKS
            if all((settings.weights_dir / file).is_file() for file in NETWORKS[name].files)
        }

    def run(self, files: list[bytes], stages: Stages) -> None:
        previews = asyncio.run(self._receive(files, stages))
        vectors = np.stack([self._analyse(picture, stages) for picture in previews])
        stages.measure("tagging", self._tagger.tag, vectors)
        self._find_copies(previews, vectors, stages)

    async def _receive(self, files: list[bytes], stages: Stages) -> list[Image]:
        """Take files through what an upload and the reading of its preview do. -> the previews"""
        px = self._settings.limits.preview_px
        for start in range(0, len(files), _UPLOAD):
            await stages.wait("form", self._parse(files[start : start + _UPLOAD]))
        previews = []
        with tempfile.TemporaryDirectory() as folder:
            storage = await LocalStorage.at(Path(folder))
            for number, data in enumerate(files):
                key = f"previews/{number}.jpg"
                stages.measure("hash", lambda data=data: hashlib.sha256(data).hexdigest())
                picture = stages.measure("decode", read_picture, data, px)[1]
                small = stages.measure("preview: encode", encode_jpeg, picture)
                await stages.wait("preview: write", storage.put(key, small))
                stored = await stages.wait("preview: read", storage.get(key))
                previews.append(stages.measure("preview: decode", decode_preview, stored, px))
        return previews

    async def _parse(self, files: list[bytes]) -> None:
        request = httpx.Request("POST", "http://bench", files=[("file", (f"{len(data)}.jpg", data)) for data in files])
        body = request.read()

        async def pieces() -> AsyncGenerator[bytes, None]:
            for start in range(0, len(body), 2**16):
                yield body[start : start + 2**16]

        limits, most = self._settings.limits, self._settings.limits.max_images
        headers = Headers({"content-type": request.headers["content-type"]})
        form = BoundedForm(headers, pieces(), limits, max_files=most, max_fields=most, max_part_size=2**20)
        await (await form.parse()).close()

    def _analyse(self, picture: Image, stages: Stages) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        stages.measure("quality", assess, picture)
        views = stages.measure("views", make_views, picture, self._embedder.input_px)
        vectors = stages.measure("embedding", embed_views, self._embedder, views)
        found = stages.measure("faces: search", self._locator.locate, picture)
        for name, engine in self._networks.items():
            if found:
                stages.measure(f"faces: embedding ({name})", engine.describe, picture, found)
        return vectors

    def _find_copies(
        self, pictures: list[Image], vectors: np.ndarray[tuple[int, ...], np.dtype[np.float32]], stages: Stages
    ) -> None:
        chosen = self._settings.duplicates

        def search() -> list[tuple[int, int]]:
            pairs = find_candidates(vectors, chosen.min_cosine, chosen.max_neighbours, always=ALWAYS)
            return list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))

        pairs = stages.measure("copies: candidate search", search)
        members = sorted({place for pair in pairs for place in pair})
        features = {
            place: stages.measure("copies: local features", describe, pictures[place], FeatureLimits())
            for place in members
        }
        for left, right in pairs:
            stages.measure("copies: verification", verify_pair, features[left], features[right], CopyCriteria())


def measure_server(files: list[bytes]) -> dict[str, float]:
    """Upload and embed the pictures, and wait for all that follows. -> milliseconds a picture of each process"""
    batches = [files[start : start + _UPLOAD] for start in range(0, len(files), _UPLOAD)]
    with (
        running_server(DARKROOM_JOBS__SYNC_WAIT_S="600") as server,
        httpx.Client(base_url=f"{server.url}/api/v1", timeout=600) as client,
        ThreadPoolExecutor(_CLIENTS) as pool,
    ):

        def upload(batch: list[bytes]) -> list[str]:
            return post_pictures(client, batch)

        def embed(urls: list[str], album: str) -> None:
            body = {"images": urls, "album_id": album}
            started = client.post("/albums/embeddings", json=body).raise_for_status().json()["jobs"]
            while {client.get(f"/jobs/{job['id']}").json()["status"] for job in started} & {"queued", "running"}:
                time.sleep(_POLL_S)

        embed(upload(batches[0]), "warm")
        before = processor_s(server)
        embed([url for urls in pool.map(upload, batches[1:]) for url in urls], "bench")
        after = processor_s(server)
    return {kind: 1000 * (after[kind] - before[kind]) / (len(files) - _UPLOAD) for kind in KINDS}


def _print_table(title: str, rows: dict[str, float]) -> None:
    table = Table(title, "ms a picture", title=machine(), title_justify="left")
    for name, milliseconds in rows.items():
        table.add_row(name, f"{milliseconds:.1f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.stages", description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--server", action="store_true", help="what each process of a server takes as well")
    options = parser.parse_args()
    files = photographs(_UPLOAD + options.pictures)
    cv2.setNumThreads(1)
    _print_table("stage", measure_stages(files))
    if options.server:
        _print_table("process", measure_server(files))


if __name__ == "__main__":
    main()
