"""Albums in which one image breaks its analysis: it is marked, the others go on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.settings import Settings
from deployments.contracts.albums import Face, LocalFeatures
from deployments.contracts.arrays import Image, Vectors
from deployments.errors import CapabilityFailed
from serve_app.services.albums import ingest
from tests.api.conftest import upload
from tests.api.test_albums_api import BLUE, GREEN, RED, png
from tests.support.builders import encoded
from tests.support.fakes import FakeCapabilities

ANALYSES = ("tags", "quality", "clusters", "duplicates")


def is_red(image: NDArray[np.uint8]) -> bool:
    return bool(image[..., 0].mean() > 200 and image[..., 1].mean() < 50)


class Fragile(FakeCapabilities):
    """Breaks on red images in one of its verbs."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = ""

    def _look_at(self, verb: str, images: Sequence[Image] | NDArray[np.uint8]) -> None:
        if verb == self.broken and any(is_red(image) for image in images):
            raise CapabilityFailed(f"{verb} failed.")

    async def embed_images(self, views: NDArray[np.uint8]) -> Vectors:
        self._look_at("embed_images", views)
        return await super().embed_images(views)

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        self._look_at("find_faces", images)
        return await super().find_faces(images)

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]:
        self._look_at("describe_images", images)
        return await super().describe_images(images)


@pytest.fixture
def capabilities() -> Fragile:
    return Fragile()


@pytest.fixture(params=["views", "quality", "embed_images", "find_faces"])
def broken_part(request: pytest.FixtureRequest, capabilities: Fragile, monkeypatch: pytest.MonkeyPatch) -> str:
    """One part of the analysis, which breaks on red images."""
    part = str(request.param)
    capabilities.broken = part

    def breaks(real: Any) -> Any:
        def work(image: Image, *arguments: Any) -> Any:
            if is_red(image):
                raise ValueError("nobody expected this")
            return real(image, *arguments)

        return work

    if part == "views":
        monkeypatch.setattr(ingest, "make_views", breaks(ingest.make_views))
    if part == "quality":
        monkeypatch.setattr(ingest, "assess", breaks(ingest.assess))
    return part


async def test_an_image_that_breaks_a_part_of_its_analysis_fails_alone(
    client: httpx.AsyncClient, broken_part: str
) -> None:
    red, green, blue = await upload(client, png(RED), png(GREEN), png(BLUE))
    response = await client.post("/api/v1/albums/embeddings", json={"images": [red, green, blue], "album_id": "a"})
    assert response.status_code == 201, response.text
    answer = response.json()
    assert answer["embedded"] == 2
    assert [(failure["image"], failure["code"]) for failure in answer["failed"]] == [(red, "analysis_failed")]
    for analysis in ANALYSES:
        response = await client.post(f"/api/v1/albums/{analysis}", json={"album_id": "a"})
        assert response.status_code == 200, response.text
        assert [failure["image"] for failure in response.json()["failed"]] == [red]


async def test_an_image_that_broke_its_analysis_is_tried_again_when_it_is_posted_again(
    client: httpx.AsyncClient, capabilities: Fragile
) -> None:
    red, green = await upload(client, png(RED), png(GREEN))
    capabilities.broken = "find_faces"
    await client.post("/api/v1/albums/embeddings", json={"images": [red, green], "album_id": "a"})
    capabilities.broken = ""
    answer = (await client.post("/api/v1/albums/embeddings", json={"images": [red], "album_id": "a"})).json()
    assert (answer["embedded"], answer["failed"]) == (1, [])


async def test_an_image_whose_local_features_break_is_named_and_the_others_are_grouped(
    client: httpx.AsyncClient, capabilities: Fragile
) -> None:
    twin = np.clip(GREEN.astype(int) + 1, 0, 255).astype(np.uint8)
    other_red = np.clip(RED.astype(int) + 2, 0, 255).astype(np.uint8)
    red, green, copy, second = await upload(client, png(RED), png(GREEN), png(twin), png(other_red))
    capabilities.broken = "describe_images"
    response = await client.post("/api/v1/albums/duplicates", json={"images": [red, green, copy, second]})
    assert response.status_code == 200, response.text
    assert list(response.json()["duplicates"].values()) == [sorted([green, copy])]
    failed = {failure["image"]: failure["code"] for failure in response.json()["failed"]}
    assert failed == dict.fromkeys([red, second], "analysis_failed")


async def test_an_image_whose_file_storage_has_lost_fails_alone(client: httpx.AsyncClient, settings: Settings) -> None:
    red, green = await upload(client, png(RED), png(GREEN))
    lost = hashlib.sha256(png(RED)).hexdigest()
    [file] = [path for path in settings.data_dir.rglob(f"{lost}*") if path.is_file()]
    file.unlink()
    answer = (await client.post("/api/v1/albums/embeddings", json={"images": [red, green], "album_id": "a"})).json()
    assert answer["embedded"] == 1
    assert [failure["code"] for failure in answer["failed"]] == ["not_found"]


async def test_an_album_whose_only_image_breaks_ends_with_a_problem_that_names_it(
    client: httpx.AsyncClient, capabilities: Fragile
) -> None:
    [red] = await upload(client, encoded(RED, "PNG"))
    capabilities.broken = "find_faces"
    response = await client.post("/api/v1/albums/embeddings", json={"images": [red], "album_id": "a"})
    assert response.status_code == 422
    assert [failure["code"] for failure in response.json()["failed"]] == ["analysis_failed"]
