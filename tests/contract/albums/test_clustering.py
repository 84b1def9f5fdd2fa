"""The clustering deployment against `contracts.albums.FaceClusterer`."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from configs.settings import FaceOptions, Runtime, Settings
from deployments.clustering import ClusteringDeployment
from deployments.contracts.albums import FaceClusterer
from tests.unit.algorithms.people.test_linkage import partition, some_people


@pytest.fixture
def clusterer() -> FaceClusterer:
    return ClusteringDeployment(Settings(faces=FaceOptions(cut=0.6, min_quality=0.3), runtime=Runtime(threads=1)))


async def test_people_are_found_and_poor_faces_left_out(clusterer: FaceClusterer) -> None:
    vectors, owner = some_people(0, people=3, faces=4, spread=0.02, dimensions=40)
    quality = np.ones(12, np.float32)
    quality[0] = 0.29
    labels = await clusterer.cluster_faces(vectors, np.arange(12), quality)
    assert labels.dtype == np.int64
    assert labels[0] == -1
    assert partition(labels) == partition(np.where(np.arange(12) == 0, -1, owner))


async def test_a_later_call_keeps_the_labels_of_the_first(clusterer: FaceClusterer) -> None:
    vectors, owner = some_people(1, people=3, faces=4, spread=0.02, dimensions=40)
    previous = np.where(np.arange(12) % 4 == 3, -2, 10 - owner)
    labels = await clusterer.cluster_faces(vectors, np.arange(12), np.ones(12, np.float32), previous)
    assert labels.tolist() == (10 - owner).tolist()


async def test_calls_made_at_once_do_not_disturb_each_other(clusterer: FaceClusterer) -> None:
    albums = [some_people(seed, people=3, faces=4, spread=0.02, dimensions=40) for seed in range(4)]
    calls = [clusterer.cluster_faces(v, np.arange(12), np.ones(12, np.float32)) for v, _ in albums]
    for (_, owner), labels in zip(albums, await asyncio.gather(*calls), strict=True):
        assert partition(labels) == partition(owner)


async def test_an_album_without_faces_is_no_error(clusterer: FaceClusterer) -> None:
    nothing = np.zeros(0, np.int64)
    assert len(await clusterer.cluster_faces(np.zeros((0, 128), np.float32), nothing, np.zeros(0, np.float32))) == 0
    await ClusteringDeployment(Settings()).check_health()
