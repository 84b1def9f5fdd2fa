"""Embedding engines: the contract that each one keeps, and what is particular to one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from configs.settings import Embedding, Runtime, Settings
from deployments.embedding import EmbeddingDeployment
from deployments.engines.embedding.open_clip import OpenClipEmbedder
from deployments.errors import Unavailable, WeightsMissing


@pytest.fixture(params=[pytest.param("efficientnet", marks=pytest.mark.weights), "open_clip"])
def settings(request: pytest.FixtureRequest) -> Settings:
    if request.param == "efficientnet":
        return Settings()
    model, pretrained = request.getfixturevalue("tiny_clip")
    return Settings(embedding=Embedding(engine="open_clip", open_clip_model=model, open_clip_pretrained=pretrained))


@pytest.fixture(params=[None, 4], ids=["alone", "together"])
def embedding(settings: Settings, request: pytest.FixtureRequest) -> EmbeddingDeployment:
    chosen = settings.embedding.model_copy(update={"calls_together": request.param})
    return EmbeddingDeployment(settings.model_copy(update={"embedding": chosen}))


def some_views(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def a_photo(side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(data.cat()).resize((side, side)))


async def test_each_view_has_a_vector(embedding: EmbeddingDeployment) -> None:
    vectors = await embedding.embed_images(some_views(11, embedding.input_px))
    assert vectors.shape == (11, embedding.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


async def test_no_views_have_no_vectors(embedding: EmbeddingDeployment) -> None:
    vectors = await embedding.embed_images(some_views(0, embedding.input_px))
    assert vectors.shape == (0, embedding.dim)


async def test_a_vector_depends_neither_on_its_company_nor_on_its_place(embedding: EmbeddingDeployment) -> None:
    views = some_views(19, embedding.input_px)
    together = await embedding.embed_images(views)
    turned = await embedding.embed_images(views[::-1])
    alone = await embedding.embed_images(views[13:14])
    scale = np.abs(together).max()
    np.testing.assert_allclose(turned[::-1], together, atol=1e-4 * scale)
    np.testing.assert_allclose(alone[0], together[13], atol=1e-4 * scale)


async def test_embeddings_side_by_side_do_not_mix(embedding: EmbeddingDeployment) -> None:
    calls = [some_views(3, embedding.input_px, seed) for seed in range(6)]
    expected = [await embedding.embed_images(views) for views in calls]
    found = await asyncio.gather(*(embedding.embed_images(views) for views in calls))
    for vectors, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(vectors, wanted, atol=1e-4 * np.abs(wanted).max())


async def test_calls_that_come_at_once_share_passes_of_the_model_where_that_is_set(settings: Settings) -> None:
    chosen = settings.embedding.model_copy(update={"calls_together": 4})
    embedding = EmbeddingDeployment(settings.model_copy(update={"embedding": chosen}))
    passes: list[int] = []
    embed = embedding._engine.embed

    def noted(views: np.ndarray) -> np.ndarray:
        passes.append(len(views))
        return embed(views)

    embedding._engine.embed = noted  # type: ignore[method-assign]
    calls = [some_views(count, embedding.input_px, count) for count in (1, 2, 3, 4)]
    found = await asyncio.gather(*(embedding.embed_images(views) for views in calls))
    assert [len(vectors) for vectors in found] == [1, 2, 3, 4]
    assert sum(passes) == 10
    assert len(passes) < len(calls)


async def test_calls_of_one_view_share_passes_of_a_network_that_gains_by_it(tiny_clip: tuple[str, str]) -> None:
    pytest.importorskip("open_clip")
    model, weights = tiny_clip
    chosen = Embedding(engine="open_clip", open_clip_model=model, open_clip_pretrained=weights)
    embedding = EmbeddingDeployment(Settings(embedding=chosen, runtime=Runtime(threads=1)))
    passes: list[int] = []
    embed = embedding._engine.embed
    embedding._engine.embed = lambda part: passes.append(len(part)) or embed(part)  # type: ignore[method-assign,func-returns-value]
    views = some_views(20, embedding.input_px)
    found = await asyncio.gather(*(embedding.embed_images(views[row : row + 1]) for row in range(20)))
    np.testing.assert_allclose(np.concatenate(found), embed(views), rtol=1e-3, atol=1e-4)
    assert sum(passes) == 20
    assert max(passes) == 8
    assert len(passes) <= 4


async def test_views_that_are_not_contiguous_are_read_right(embedding: EmbeddingDeployment) -> None:
    side = embedding.input_px
    mirrored = some_views(2, side)[:, :, ::-1]
    vectors = await embedding.embed_images(mirrored)
    expected = await embedding.embed_images(mirrored.copy())
    np.testing.assert_array_equal(vectors, expected)


async def test_equal_views_are_embedded_once(embedding: EmbeddingDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    views = some_views(3, embedding.input_px)[[0, 1, 0, 2, 1]]
    expected = np.concatenate([await embedding.embed_images(view[None]) for view in views])
    seen: list[int] = []
    embed = embedding._engine.embed
    monkeypatch.setattr(embedding._engine, "embed", lambda part: seen.append(len(part)) or embed(part))
    vectors = await embedding.embed_images(views)
    np.testing.assert_allclose(vectors, expected, atol=1e-4 * np.abs(expected).max())
    assert sum(seen) == 3


async def test_a_healthy_engine_says_so(embedding: EmbeddingDeployment) -> None:
    await embedding.check_health()


@pytest.mark.weights
async def test_a_photo_and_its_darker_copy_are_nearer_than_another_photo() -> None:
    embedding = EmbeddingDeployment(Settings())
    cat = a_photo(224)
    rocket = np.asarray(Image.fromarray(data.rocket()).resize((224, 224)))
    vectors = await embedding.embed_images(np.stack([cat, (cat * 0.7).astype(np.uint8), rocket]))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.8 > 0.5 > unit[0] @ unit[2]


def test_missing_weights_are_named_with_their_setting(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"efficientnet_lite0\.onnx.*DARKROOM_WEIGHTS_DIR"):
        EmbeddingDeployment(Settings(weights_dir=tmp_path))


def test_image_and_text_vectors_equal_open_clips_own(tiny_clip: tuple[str, str]) -> None:
    open_clip = pytest.importorskip("open_clip")
    torch = pytest.importorskip("torch")
    model, _, preprocess = open_clip.create_model_and_transforms(tiny_clip[0], pretrained=tiny_clip[1])
    model.eval()
    engine = OpenClipEmbedder(*tiny_clip)
    photo = a_photo(engine.input_px)
    texts = ["a photo of a cat", "a rocket"]
    with torch.inference_mode():
        image = model.encode_image(preprocess(Image.fromarray(photo))[None]).numpy()
        text = model.encode_text(open_clip.get_tokenizer(tiny_clip[0])(texts), normalize=True).numpy()
    np.testing.assert_allclose(engine.embed(photo[None]), image, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(engine.embed_texts(texts), text, rtol=1e-4, atol=1e-5)


def test_half_precision_turns_vectors_by_little(tiny_clip: tuple[str, str]) -> None:
    pytest.importorskip("open_clip")
    whole, half = OpenClipEmbedder(*tiny_clip), OpenClipEmbedder(*tiny_clip, dtype="bfloat16")
    views = np.stack([a_photo(whole.input_px), *some_views(4, whole.input_px)])
    for exact, rounded in zip(whole.embed(views), half.embed(views), strict=True):
        assert exact @ rounded / np.linalg.norm(exact) / np.linalg.norm(rounded) > 0.999
    assert half.embed_texts(["a cat"]).dtype == np.float32


def test_without_a_gpu_the_model_is_on_the_processor_in_whole_precision(tiny_clip: tuple[str, str]) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    engine = OpenClipEmbedder(*tiny_clip, device="auto")
    assert not engine.is_on_gpu
    assert {weights.dtype for weights in engine._model.parameters()} == {torch.float32}


def test_the_share_of_the_gpus_memory_is_capped_before_the_model_is_loaded(tiny_clip: tuple[str, str]) -> None:
    pytest.importorskip("open_clip")
    seen: list[tuple[float, str]] = []

    def cap(share: float, device: str) -> None:
        seen.append((share, device))
        raise Capped

    class Capped(Exception):
        pass

    with pytest.raises(Capped):
        OpenClipEmbedder("no-such-model", "", "cpu", memory_fraction=0.25, cap_memory=cap)
    assert seen == [(0.25, "cpu")]


def test_a_gpu_that_is_not_there_is_named_with_its_setting(tiny_clip: tuple[str, str]) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(Unavailable, match="DARKROOM_EMBEDDING__DEVICE"):
        OpenClipEmbedder(*tiny_clip, device="cuda")


@pytest.mark.parametrize("pretrained", ["no_such_tag", "/nowhere/checkpoint.pt"])
def test_open_clip_weights_that_are_not_to_be_had_are_named(tiny_clip: tuple[str, str], pretrained: str) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_EMBEDDING__OPEN_CLIP_PRETRAINED"):
        OpenClipEmbedder(tiny_clip[0], pretrained)


def test_a_model_that_open_clip_does_not_know_is_named() -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(WeightsMissing, match="no-such-model"):
        OpenClipEmbedder("no-such-model", "")


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(Unavailable, match=r"darkroom\[diffusion\]"):
        OpenClipEmbedder("another-model", "")
