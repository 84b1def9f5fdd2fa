"""Reading of text: the contract that deployment, bundle and fake keep."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import pytest

from configs.settings import Runtime, Settings, Texts
from deployments.contracts.texts import TextOptions, TextReader
from deployments.errors import NotDeployed
from deployments.texts import TextsDeployment
from tests.support.builders import a_flat_image
from tests.support.fakes import FakeCapabilities, with_text
from tests.support.pages import a_receipt

SIZES = [(1, 1), (1, 900), (900, 1), (3, 2), (64, 64)]


@pytest.fixture(scope="module")
def real() -> TextsDeployment:
    pytest.importorskip("rapidocr")
    return TextsDeployment(Settings(runtime=Runtime(threads=2)))


@pytest.fixture(scope="module", params=["real", "fake"])
def reader(request: pytest.FixtureRequest) -> TextReader:
    return FakeCapabilities() if request.param == "fake" else request.getfixturevalue("real")


PAGES = [with_text(a_receipt(), "A", at=(40, 210), size=(120, 24)), a_receipt(degrees=90)]


async def test_each_text_is_whole(reader: TextReader) -> None:
    (found, _) = await reader.read_texts(PAGES)
    height, width = PAGES[0].shape[:2]
    assert found
    for text in found:
        assert text.text
        assert text.text == " ".join(text.text.split())
        assert 0 < text.score <= 1
        assert 0 < text.text_score <= 1
        assert len(text.corners) == 4
        assert all(0 <= x <= width and 0 <= y <= height for x, y in text.corners)


async def test_pictures_read_together_have_the_texts_that_each_has_alone(reader: TextReader) -> None:
    alone = [(await reader.read_texts([page]))[0] for page in PAGES]
    assert await reader.read_texts(PAGES) == alone


async def test_no_pictures_are_no_lists_and_a_picture_without_text_is_an_empty_one(reader: TextReader) -> None:
    assert await reader.read_texts([]) == []
    assert await reader.read_texts([a_flat_image(size) for size in SIZES]) == [[] for _ in SIZES]


async def test_scores_below_the_least_are_left_out(reader: TextReader) -> None:
    (everything,) = await reader.read_texts(PAGES[:1], TextOptions(min_text_score=0.0))
    (nothing,) = await reader.read_texts(PAGES[:1], TextOptions(min_text_score=1.0))
    assert {text.text for text in nothing} < {text.text for text in everything}


async def test_a_call_that_names_no_resolution_has_that_of_the_settings() -> None:
    pytest.importorskip("rapidocr")
    coarse = TextsDeployment(Settings(texts=Texts(max_px=32)))
    assert await coarse.read_texts([a_receipt()]) == [[]]
    (found,) = await coarse.read_texts([a_receipt()], TextOptions(max_px=640))
    assert "Espresso" in [text.text for text in found]


async def test_calls_side_by_side_do_not_mix_their_options(real: TextsDeployment) -> None:
    calls = [real.read_texts([a_receipt()], TextOptions(max_px=max_px)) for max_px in (32, 640, 32, 640)]
    coarse, fine, coarse_again, fine_again = await asyncio.gather(*calls)
    assert coarse == coarse_again == [[]]
    assert fine == fine_again
    assert len(fine[0]) == 12


async def test_without_the_package_calls_are_refused_and_the_replica_stays_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    without = TextsDeployment(Settings())
    await without.check_health()
    with pytest.raises(NotDeployed, match="extra"):
        await without.check("texts")
    with pytest.raises(NotDeployed, match="extra"):
        await without.read_texts([np.zeros((8, 8, 3), np.uint8)])


async def test_a_sound_engine_passes_its_checks(real: TextsDeployment) -> None:
    await real.check_health()
    await real.check("texts")
