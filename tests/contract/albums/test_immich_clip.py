"""Immich's smart search over the real engine: the vectors are open_clip's own, from the file to the text."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from configs.settings import Embedding, Immich, Settings
from deployments.contracts.albums import Capabilities
from deployments.embedding import EmbeddingDeployment
from deployments.tagging import TaggingDeployment
from serve_app.services.immich.service import ImmichService
from serve_app.telemetry import Metrics
from tests.support.builders import a_photo, an_image, encoded, encoded_turned
from tests.support.fakes import FakeCapabilities

NAME = "Tiny__random"
PICTURES = {
    "a photograph": encoded(a_photo("astronaut"), "PNG"),
    "a JPEG": encoded(a_photo("coffee"), "JPEG", quality=90),
    "upright": encoded(an_image((60, 100)), "PNG"),
    "a panorama": encoded(an_image((400, 50)), "WEBP", quality=95),
    "smaller than the view": encoded(an_image((20, 16)), "PNG"),
    "turned by EXIF": encoded_turned(an_image((96, 64)), 6, "JPEG"),
    "grey": encoded(PillowImage.fromarray(a_photo("coffee")).convert("L"), "JPEG"),
}
TEXTS = ("a photo of a cat", "A  Rocket!", "빨간 사진", "", "word " * 400)


class RealClip(FakeCapabilities):
    """The open_clip engine behind the two capabilities that have it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        embedding, tagging = EmbeddingDeployment(settings), TaggingDeployment(settings)
        self.embed_images = embedding.embed_images  # type: ignore[method-assign]
        self.embed_texts = tagging.embed_texts  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def service(tiny_clip: tuple[str, str]) -> ImmichService:
    model, weights = tiny_clip
    settings = Settings(
        embedding=Embedding(engine="open_clip", open_clip_model=model, open_clip_pretrained=weights, input_px=32),
        immich=Immich(enabled=True, models={NAME: f"open_clip:{model}/{weights}"}),
    )
    capabilities: Capabilities = RealClip(settings)
    return ImmichService(capabilities, settings, Metrics("test"))


@pytest.fixture(scope="module")
def opened(tiny_clip: tuple[str, str]) -> tuple[Any, Any, Any]:
    """Model, transform and tokenizer, as open_clip hands them out."""
    open_clip = pytest.importorskip("open_clip")
    model, _, transform = open_clip.create_model_and_transforms(tiny_clip[0], pretrained=tiny_clip[1])
    return model.eval(), transform, open_clip.get_tokenizer(tiny_clip[0])


async def ask(service: ImmichService, kind: str, picture: bytes | None = None, text: str | None = None) -> np.ndarray:
    entries = json.dumps({"clip": {kind: {"modelName": NAME}}})
    answer = await service.predict(entries, picture, text)
    return np.array(json.loads(answer["clip"]), np.float32)


@pytest.mark.parametrize("name", PICTURES)
async def test_a_pictures_vector_is_that_of_open_clip(
    service: ImmichService, opened: tuple[Any, Any, Any], name: str
) -> None:
    torch = pytest.importorskip("torch")
    model, transform, _ = opened
    with PillowImage.open(io.BytesIO(PICTURES[name])) as image, torch.inference_mode():
        expected = model.encode_image(transform(image.convert("RGB"))[None], normalize=True)[0].numpy()
    np.testing.assert_allclose(await ask(service, "visual", PICTURES[name]), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_texts_vector_is_that_of_open_clip(
    service: ImmichService, opened: tuple[Any, Any, Any], text: str
) -> None:
    torch = pytest.importorskip("torch")
    model, _, tokenize = opened
    with torch.inference_mode():
        expected = model.encode_text(tokenize([text]), normalize=True)[0].numpy()
    np.testing.assert_allclose(await ask(service, "textual", text=text), expected, rtol=1e-4, atol=1e-6)


async def test_two_pictures_have_two_vectors(service: ImmichService) -> None:
    one, other = [await ask(service, "visual", PICTURES[name]) for name in ("a photograph", "a JPEG")]
    assert not np.allclose(one, other, atol=1e-3)
