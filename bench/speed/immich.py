"""What Immich's server waits for machine learning, one request at a time and many at once:

    python -m bench.speed.immich [--seconds 20] [--clients 1 2 4 8]
    python -m bench.speed.immich --url http://darkroom:8000
    python -m bench.speed.immich --device cuda --clients 1 8 32 64

The first starts a server here, the second asks one that runs (with the names that it serves), the third leaves HTTP and
Ray out and calls the service over the engines in this process: so a GPU is measured where batches are made.

Clients ask again as soon as they are answered. First three of them at once, each with one kind of request as in
Immich's own load test (a text, a picture, the faces of a picture, recognition before detection), then each kind alone
by each number of clients, in turn and three times, of which the best counts. The model is ViT-B-32 with random weights,
which cost what trained ones do; the picture has 1,000 pixels a side and one face. Within one process the time of a core
is told too, on which other work of the machine has little influence.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import httpx
import numpy as np
from skimage import data

from bench.report import Report
from bench.server import running_server
from configs.settings import Embedding, Immich, Runtime, Settings
from deployments.algorithms.images.decoding import encode_jpeg
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image, Vectors

CLIP, FACES = "ViT-B-32__openai", "buffalo_l"
NETWORK = "ViT-B-32-quickgelu"
_PICTURE_PX = 1000
_WARM_S = 3.0
_START_S = 1200.0
"""The tagger reads two thousand sentences by the text tower before it is ready, minutes on a processor."""
_ROUNDS = 3
"""Of each measurement, of which the best counts: others may use the machine too."""
_ENVIRONMENT = {
    "DARKROOM_IMMICH__ENABLED": "true",
    "DARKROOM_IMMICH__MODELS": json.dumps({CLIP: f"open_clip:{NETWORK}/"}),
    "DARKROOM_IMMICH__FACES_AS": json.dumps([FACES]),
    "DARKROOM_EMBEDDING__ENGINE": "open_clip",
    "DARKROOM_EMBEDDING__OPEN_CLIP_MODEL": NETWORK,
    "DARKROOM_EMBEDDING__OPEN_CLIP_PRETRAINED": "",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of request."""

    name: str
    entries: str
    picture: bytes | None = field(default=None, repr=False)
    text: str | None = None


class Asked(Protocol):
    """A server, or what is behind it."""

    async def __call__(self, question: Question) -> None:
        """Ask, and raise for anything but an answer."""
        ...


def questions() -> list[Question]:
    """Make the three kinds, with `::` in the model's name as Immich's own load test has it."""
    image = cv2.resize(data.astronaut(), (_PICTURE_PX, _PICTURE_PX), interpolation=cv2.INTER_CUBIC)
    picture = encode_jpeg(np.asarray(image, np.uint8))
    name = CLIP.replace("__", "::")
    faces = {"recognition": {"modelName": FACES, "options": {"minScore": 0.034}}, "detection": {"modelName": FACES}}
    return [
        Question("text", json.dumps({"clip": {"textual": {"modelName": name}}}), text="test search query"),
        Question("picture", json.dumps({"clip": {"visual": {"modelName": name, "options": {}}}}), picture),
        Question("faces", json.dumps({"facial-recognition": faces}), picture),
    ]


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[Asked]:
    """Ask a server."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits, trust_env=False) as client:

        async def ask(question: Question) -> None:
            fields = {"entries": question.entries} | ({} if question.text is None else {"text": question.text})
            files = None if question.picture is None else {"image": ("blob", question.picture)}
            response = await client.post("/predict", data=fields, files=files)
            if response.status_code != 200:
                raise RuntimeError(f"{question.name}: {response.status_code} {response.text[:200]}")

        yield ask


@asynccontextmanager
async def in_this_process(device: str) -> AsyncIterator[Asked]:
    """Ask the service over engines that are opened here."""
    from deployments.embedding import EmbeddingDeployment
    from deployments.faces import FacesDeployment
    from deployments.tagging import TaggingDeployment
    from serve_app.services.immich.service import ImmichService
    from serve_app.telemetry import Metrics

    chosen = Embedding(
        engine="open_clip", open_clip_model=NETWORK, open_clip_pretrained="", device=device, memory_fraction=1
    )
    settings = Settings(
        embedding=chosen,
        immich=Immich(enabled=True, models={CLIP: f"open_clip:{NETWORK}/"}, faces_as=(FACES,)),
        runtime=Runtime(decode_threads=8, threads=8) if device == "cuda" else Runtime(),
    )
    embedding, tagging, faces = EmbeddingDeployment(settings), TaggingDeployment(settings), FacesDeployment(settings)

    class Engines:
        async def embed_images(self, views: Any) -> Vectors:
            return await embedding.embed_images(views)

        async def embed_texts(self, texts: Sequence[str]) -> Vectors:
            return await tagging.embed_texts(texts)

        async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
            return await faces.find_faces(images)

    capabilities: Any = Engines()  # the three of all that the service calls
    service = ImmichService(capabilities, settings, Metrics("bench"))

    async def ask(question: Question) -> None:
        await service.predict(question.entries, question.picture, question.text)

    yield ask


@dataclass(frozen=True, slots=True)
class Round:
    """The answers to some clients of one kind."""

    took: list[float]
    """Seconds of each answer."""
    seconds: float
    """From the first question to the last answer."""
    core_s: float
    """Of a core that this process took meanwhile."""

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds


async def ask_on(ask: Asked, clients: Sequence[Question], seconds: float) -> dict[str, Round]:
    """Let each client ask its question again and again, the last time before `seconds` are over. -> kind -> answers"""
    took: dict[str, list[float]] = {question.name: [] for question in clients}
    began, worked = time.monotonic(), time.process_time()

    async def go_on(question: Question) -> None:
        while (asked := time.monotonic()) < began + seconds:
            await ask(question)
            took[question.name].append(time.monotonic() - asked)

    await asyncio.gather(*map(go_on, clients))
    lasted, core_s = time.monotonic() - began, time.process_time() - worked
    return {name: Round(answers, lasted, core_s) for name, answers in took.items()}


async def measure(ask: Asked, numbers: Sequence[int], seconds: float, report: Report, *, is_here: bool) -> None:
    """Measure all three kinds at once, then each by itself; `is_here`: this process does the work."""
    kinds = questions()
    await ask_on(ask, kinds, _WARM_S)
    for name, answers in (await ask_on(ask, kinds, seconds)).items():
        _add(report, f"{name}, beside the two others", answers)
    for question in kinds:
        rounds: dict[int, list[Round]] = {clients: [] for clients in numbers}
        for clients in [*numbers] * _ROUNDS:  # in turn, so that all meet the same machine
            answered = await ask_on(ask, [question] * clients, seconds / _ROUNDS)
            rounds[clients].append(answered[question.name])
        best = {clients: max(of, key=lambda one: one.rate) for clients, of in rounds.items()}
        for clients, answers in best.items():
            _add(report, f"{question.name}, {clients} at once", answers)
            if is_here:
                core_s = min(one.core_s / len(one.took) for one in rounds[clients])
                report.add(f"{question.name}, {clients} at once: time of a core", 1000 * core_s, "ms")
        report.add("  ratio of the most to one", max(one.rate for one in best.values()) / best[numbers[0]].rate, "")


def _add(report: Report, what: str, answers: Round) -> None:
    report.add(f"{what}: answers", answers.rate, "/s")
    report.add(f"{what}: median", 1000 * float(np.median(answers.took)), "ms")


@contextmanager
def a_server(url: str | None) -> Iterator[str]:
    """Start a server unless there is one. -> its URL"""
    if url is not None:
        yield url
        return
    with running_server(_START_S, **_ENVIRONMENT) as server:
        yield server.url


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.immich", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--url", help="a server that runs, with Immich switched on")
    parser.add_argument("--device", help="measure in this process, on this device: cpu, cuda")
    options = parser.parse_args()
    report = Report("immich")

    async def run(opened: Any) -> None:
        async with opened as ask:
            await measure(ask, options.clients, options.seconds, report, is_here=options.device is not None)

    if options.device:
        asyncio.run(run(in_this_process(options.device)))
    else:
        with a_server(options.url) as url:
            asyncio.run(run(over_http(url)))
    report.finish()


if __name__ == "__main__":
    main()
