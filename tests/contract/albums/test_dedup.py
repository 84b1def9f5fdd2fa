"""The duplicate deployment against `contracts.albums.DuplicateFinder`."""

import asyncio

import numpy as np
import pytest

from configs.settings import Settings
from deployments.contracts.albums import DuplicateFinder
from deployments.contracts.arrays import VIEWS
from deployments.dedup import DedupDeployment
from tests.support import duplicate_pictures as pictures


@pytest.fixture
def finder() -> DuplicateFinder:
    return DedupDeployment(Settings())


async def test_copies_of_a_photo_are_told_from_other_photos(finder):
    original = pictures.photo("coffee")
    features = await finder.describe_images([original, pictures.jpeg(original, 30), pictures.photo("chelsea")])
    verdicts = await finder.compare_images(features, [0, 0, 1], [1, 2, 2])
    assert [verdict.is_copy for verdict in verdicts] == [True, False, False]


async def test_features_come_in_the_order_of_the_pictures(finder):
    photos = [pictures.resized(pictures.photo("coffee"), side) for side in (60, 100, 140, 180)]
    features = await finder.describe_images(photos)
    assert [max(f.pixels.shape) for f in features] == [120, 200, 280, 360]


async def test_verdicts_come_in_the_order_of_the_pairs_however_many(finder):
    coffee = pictures.resized(pictures.photo("coffee"), 200)
    features = await finder.describe_images([coffee, coffee, pictures.resized(pictures.photo("chelsea"), 200)])
    left, right = [0] * 50, [1, 2] * 25
    verdicts = await finder.compare_images(features, left, right)
    assert [verdict.is_copy for verdict in verdicts] == [True, False] * 25


async def test_candidates_are_found_by_their_vectors(finder):
    vectors = np.random.default_rng(0).normal(size=(20, len(VIEWS), 1024)).astype(np.float32)
    vectors[7] = vectors[3]
    pairs = await finder.find_candidates(vectors, 0.9, 10)
    assert (pairs.left.tolist(), pairs.right.tolist()) == ([3], [7])


async def test_an_index_names_the_images_near_one_that_is_not_in_it(finder):
    vectors = np.random.default_rng(0).normal(size=(60, len(VIEWS), 64)).astype(np.float16)
    vectors[59] = vectors[3]
    index = await finder.train_index(vectors[:50], 59)
    index = await finder.extend_index(index, vectors[:30], np.arange(30))
    index = await finder.extend_index(index, vectors[30:59], np.arange(30, 59))
    pairs = await finder.ask_index(index, vectors[59:], np.array([59]), 0.9, 5)
    assert [3, 59] in pairs.tolist()
    cosines = await finder.compare_vectors(vectors, np.array([[3, 59], [4, 59]]))
    assert cosines[0] == pytest.approx(1, abs=1e-3)
    assert cosines[1] < 0.9


async def test_the_two_nearest_are_candidates_though_they_are_less_alike_than_asked_for(finder):
    apart = np.eye(12, dtype=np.float32)
    apart[1:4] = np.sqrt(1 - np.array([[0.6], [0.5], [0.4]], np.float32) ** 2) * apart[1:4]
    apart[1:4, 0] = (0.6, 0.5, 0.4)
    vectors = np.repeat(apart[:, None], len(VIEWS), axis=1)
    pairs = await finder.find_candidates(vectors, 0.9, 10)
    of_the_first = pairs.right[pairs.left == 0].tolist()
    assert {1, 2} <= set(of_the_first)
    assert not {4, 5, 6, 7, 8, 9, 10, 11} & {*pairs.left.tolist(), *pairs.right.tolist()}


async def test_empty_calls_have_empty_answers(finder):
    assert await finder.describe_images([]) == []
    assert await finder.compare_images([], [], []) == []


async def test_pairs_of_unequal_length_are_refused(finder):
    features = await finder.describe_images([pictures.photo("coffee")])
    with pytest.raises(ValueError, match="same length"):
        await finder.compare_images(features, [0], [])


async def test_comparisons_side_by_side_do_not_mix(finder):
    coffee, cat = await finder.describe_images([pictures.photo("coffee"), pictures.photo("chelsea")])
    same, other = await asyncio.gather(
        finder.compare_images([coffee, coffee], [0], [1]), finder.compare_images([coffee, cat], [0], [1])
    )
    assert same[0].is_copy
    assert not other[0].is_copy


async def test_a_fresh_finder_is_healthy():
    await DedupDeployment(Settings()).check_health()
