"""What Immich's server asks, and a client that asks it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import numpy as np
from structlog.testing import capture_logs

from configs.settings import Embedding, Settings
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.services.immich.service import ImmichService
from serve_app.telemetry import Metrics, configure_logging
from tests.support.accounts import BASE
from tests.support.builders import a_flat_image, encoded
from tests.support.fakes import FakeCapabilities, with_face

CLIP = "ViT-B-32__openai"


OPEN_CLIP = Embedding(engine="open_clip", open_clip_model="ViT-B-32-quickgelu", open_clip_pretrained="openai")


VISUAL = {"clip": {"visual": {"modelName": CLIP}}}


TEXTUAL = {"clip": {"textual": {"modelName": CLIP}}}


DETECTION = {"modelName": "buffalo_l", "options": {"minScore": 0.7}}


FACES = {"facial-recognition": {"detection": DETECTION, "recognition": {"modelName": "buffalo_l"}}}


RED = encoded(a_flat_image((96, 64), (250, 20, 20)), "PNG")


TWO_FACES = encoded(with_face(with_face(a_flat_image((96, 64), (20, 20, 250)), 24), 104, at=(60, 30), size=20), "PNG")


@asynccontextmanager
async def asking(
    services: Services, settings: Settings, capabilities: FakeCapabilities | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client at `address` of a server with other settings, or other capabilities."""
    asked = services.immich if capabilities is None else ImmichService(capabilities, settings, services.metrics)
    app = build_app(_with(services, asked), settings, Metrics("ingress"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4000))
    async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60) as client:
        yield client


def _with(services: Services, immich: ImmichService) -> Services:
    return dataclasses.replace(services, immich=immich)


async def predict(
    client: httpx.AsyncClient, entries: Any, image: bytes | None = None, text: str | None = None
) -> httpx.Response:
    fields = {"entries": entries if isinstance(entries, str) else json.dumps(entries)}
    if text is not None:
        fields["text"] = text
    files = None if image is None else {"image": ("blob", image, "application/octet-stream")}
    return await client.post("/predict", data=fields, files=files)


@contextmanager
def said() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, warnings too, which tests have switched off."""
    configure_logging(Settings(log_level="WARNING"))
    try:
        with capture_logs() as logs:
            yield logs
    finally:
        configure_logging(Settings(log_level="ERROR"))


def vector(text: str) -> np.ndarray:
    assert isinstance(text, str)
    return np.array(json.loads(text), np.float32)
