"""Taggers: the contract that each one keeps, and the local one on images that a package ships."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from configs.settings import Embedding, Runtime, Settings
from deployments.algorithms.images.views import make_views
from deployments.algorithms.tags.vocabulary import TagRules, select_tags
from deployments.contracts.arrays import VIEWS
from deployments.embedding import EmbeddingDeployment
from deployments.engines.embedding.open_clip import ZeroShotTagger
from deployments.engines.embedding.sentence import SentenceEncoder, WordPiece
from deployments.errors import NotSupported, WeightsMissing
from deployments.tagging import TaggingDeployment

PHOTOS = ("cat", "coffee", "rocket")


@pytest.fixture(scope="module", params=[pytest.param("efficientnet", marks=pytest.mark.weights), "open_clip"])
def settings(request: pytest.FixtureRequest) -> Settings:
    if request.param == "efficientnet":
        return Settings()
    model, pretrained = request.getfixturevalue("tiny_clip")
    return Settings(embedding=Embedding(engine="open_clip", open_clip_model=model, open_clip_pretrained=pretrained))


@pytest.fixture(scope="module")
def tagging(settings: Settings) -> TaggingDeployment:
    return TaggingDeployment(settings)


@pytest.fixture(scope="module")
def vectors(settings: Settings) -> np.ndarray:
    """Embed photos, the whole image in the place of every view."""
    return asyncio.run(embedded(EmbeddingDeployment(settings)))


async def embedded(embedding: EmbeddingDeployment) -> np.ndarray:
    side = embedding.input_px
    photos = [Image.fromarray(getattr(data, name)()).resize((side, side), Image.Resampling.BICUBIC) for name in PHOTOS]
    found = await embedding.embed_images(np.stack([np.asarray(photo) for photo in photos]))
    return np.repeat(found[:, None], len(VIEWS), axis=1)


async def test_every_picture_has_a_dict_of_probabilities(tagging: TaggingDeployment, vectors: np.ndarray) -> None:
    scores = await tagging.tag_images(vectors)
    assert len(scores) == len(PHOTOS)
    assert all(0 <= score <= 1 for picture in scores for score in picture.values())


async def test_no_pictures_have_no_dicts(tagging: TaggingDeployment, vectors: np.ndarray) -> None:
    assert await tagging.tag_images(vectors[:0]) == []


async def test_known_labels_are_judged_in_every_picture(tagging: TaggingDeployment, vectors: np.ndarray) -> None:
    scores = await tagging.tag_images(vectors, ["dog", "Coffee"])
    assert [set(picture) for picture in scores] == [{"dog", "Coffee"}] * len(PHOTOS)


async def test_an_empty_label_is_judged_in_none(tagging: TaggingDeployment, vectors: np.ndarray) -> None:
    assert await tagging.tag_images(vectors, ["", "  "]) == [{}] * len(PHOTOS)


async def test_tags_do_not_depend_on_the_other_pictures(tagging: TaggingDeployment, vectors: np.ndarray) -> None:
    together = await tagging.tag_images(vectors)
    alone = await tagging.tag_images(vectors[1:2])
    assert alone[0] == pytest.approx(together[1], abs=1e-4)


async def test_texts_are_unit_vectors_beside_those_of_pictures_or_refused(
    tagging: TaggingDeployment, settings: Settings, vectors: np.ndarray
) -> None:
    if settings.embedding.engine == "efficientnet":
        with pytest.raises(NotSupported):
            await tagging.embed_texts(["a cat"])
        return
    found = await tagging.embed_texts(["a cat", "a dog"])
    assert found.dtype == np.float32
    assert found.shape == (2, vectors.shape[-1])
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(found[0], found[1])


async def test_texts_of_calls_that_are_made_together_are_those_of_each_alone(tiny_clip: tuple[str, str]) -> None:
    pytest.importorskip("open_clip")
    model, pretrained = tiny_clip
    chosen = Embedding(engine="open_clip", open_clip_model=model, open_clip_pretrained=pretrained)
    tagging = TaggingDeployment(Settings(embedding=chosen, runtime=Runtime(threads=1)))
    calls = [["one"], ["two", "three"], ["four"], ["five"]]
    alone = [await tagging.embed_texts(call) for call in calls]
    passes: list[int] = []
    engine = tagging._engine
    assert isinstance(engine, ZeroShotTagger)
    embed = engine.embed_texts
    engine.embed_texts = lambda texts: passes.append(len(texts)) or embed(texts)  # type: ignore[method-assign,func-returns-value]
    for found, wanted in zip(await asyncio.gather(*map(tagging.embed_texts, calls)), alone, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert sum(passes) == 5
    assert len(passes) < len(calls)


async def test_relevance_is_one_number_a_picture(tagging: TaggingDeployment, vectors: np.ndarray) -> None:
    found = await tagging.search_images("a cup of coffee", vectors)
    assert found.shape == (len(PHOTOS),)
    assert ((found >= 0) & (found <= 1)).all()


async def test_an_empty_query_is_refused(tagging: TaggingDeployment, vectors: np.ndarray) -> None:
    with pytest.raises(NotSupported):
        await tagging.search_images("  ", vectors)


async def test_a_healthy_tagger_says_so(tagging: TaggingDeployment) -> None:
    await tagging.check_health()


@pytest.fixture(scope="module")
def local() -> TaggingDeployment:
    return TaggingDeployment(Settings())


@pytest.fixture(scope="module")
def local_vectors() -> np.ndarray:
    return asyncio.run(embedded(EmbeddingDeployment(Settings())))


@pytest.mark.weights
@pytest.mark.parametrize(("photo", "tag"), [("cat", "cat"), ("cat", "pet"), ("coffee", "coffee"), ("coffee", "cup")])
async def test_the_local_tagger_names_what_a_photo_shows(
    local: TaggingDeployment, local_vectors: np.ndarray, photo: str, tag: str
) -> None:
    scores = (await local.tag_images(local_vectors))[PHOTOS.index(photo)]
    assert scores[tag] > 0.5
    assert tag in sorted(scores, key=lambda name: -scores[name])[:5]


@pytest.mark.weights
@pytest.mark.parametrize("photo", ["moon", "brick", "page", "retina"])
async def test_the_local_tagger_gives_no_tag_to_a_picture_that_it_knows_nothing_of(
    local: TaggingDeployment, photo: str
) -> None:
    embedding = EmbeddingDeployment(Settings())
    pixels = np.asarray(Image.fromarray(getattr(data, photo)()).convert("RGB"))
    vectors = await embedding.embed_images(make_views(pixels, embedding.input_px))
    (scores,) = await local.tag_images(vectors[None])
    assert select_tags(scores, TagRules()) == {}


@pytest.mark.weights
async def test_the_local_search_finds_one_photo_and_invents_none(
    local: TaggingDeployment, local_vectors: np.ndarray
) -> None:
    found = await local.search_images("kitten", local_vectors)
    assert found.argmax() == PHOTOS.index("cat")
    assert np.count_nonzero(found) == 1
    assert not (await local.search_images("lighthouse", local_vectors)).any()


@pytest.mark.weights
@pytest.mark.parametrize("query", ["invoice", "giraffe", "dolphin", "sunset", "birthday party", "happiness", "asdfgh"])
async def test_the_local_search_refuses_a_text_that_it_cannot_see(
    local: TaggingDeployment, local_vectors: np.ndarray, query: str
) -> None:
    with pytest.raises(NotSupported):
        await local.search_images(query, local_vectors)
    assert await local.tag_images(local_vectors, [query]) == [{}] * len(PHOTOS)


@pytest.mark.weights
def test_sentences_of_one_meaning_are_near_and_their_vectors_do_not_depend_on_their_company() -> None:
    encoder = SentenceEncoder(Settings().weights_dir)
    texts = ["dog", "a small puppy", "quarterly tax return"]
    together = encoder.encode(texts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    cosines = together @ together[0]
    assert cosines[1] > 0.4
    assert cosines[2] < 0.2
    np.testing.assert_allclose(encoder.encode(texts[1:2])[0], together[1], atol=1e-5)


@pytest.mark.weights
@given(st.text(st.characters(max_codepoint=0x24F), max_size=40) | st.text("ab çé-.,'中の\t\u0301", max_size=40))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_tokenizer_equals_the_librarys(text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    path = Settings().weights_dir / "minilm/tokenizer.json"
    if path not in _TOKENIZERS:
        library = tokenizers.Tokenizer.from_file(str(path))
        library.no_padding()
        _TOKENIZERS[path] = (WordPiece.from_file(path), library)
    ours, library = _TOKENIZERS[path]
    assert ours.encode(text) == library.encode(text).ids


_TOKENIZERS: dict[Path, tuple[WordPiece, object]] = {}


def test_missing_weights_are_named_with_their_setting(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"efficientnet_lite0_head\.npz.*DARKROOM_WEIGHTS_DIR"):
        TaggingDeployment(Settings(weights_dir=tmp_path))
