"""Faces and people cut out of a photograph, over HTTP."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import select

from configs.settings import SegmentationOptions, Settings
from deployments.contracts.arrays import Image
from deployments.errors import ProviderRejected, ProviderUnavailable
from serve_app.services.container import Services
from serve_app.store.models import ImageRow
from tests.api.conftest import BASE, assert_problem, upload
from tests.api.sdapi.conftest import until
from tests.support.builders import a_flat_image, encoded, encoded_turned
from tests.support.fakes import FakeCapabilities, with_face

URL = "/api/v1/segmentations"
ENGINES = ("vision", "rekognition", "local")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    chosen = SegmentationOptions(engines=ENGINES, max_px=256, engine_timeout_s=10)
    return settings.model_copy(update={"segmentation": chosen})


def a_portrait(size: tuple[int, int] = (96, 64)) -> Image:
    """One face, the square from (8, 4) to (24, 20)."""
    return with_face(a_flat_image(size), person=3 * 16 + 8, at=(8, 4))


async def portrait(client: httpx.AsyncClient, image: Image | None = None) -> str:
    [url] = await upload(client, encoded(a_portrait() if image is None else image, "PNG"))
    return url


async def segment(client: httpx.AsyncClient, ref: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return await client.post(URL, json={"image_url": ref} | more, headers=headers)


async def pixels_at(client: httpx.AsyncClient, url: str) -> PillowImage.Image:
    file = await client.get(url)
    assert file.headers["content-type"] == "image/png"
    return PillowImage.open(io.BytesIO(file.content))


async def test_a_face_comes_back_with_landmarks_mask_and_cut_out(client: httpx.AsyncClient) -> None:
    response = await segment(client, await portrait(client))
    assert response.status_code == 200, response.text
    answer = response.json()
    [face] = answer["faces"]
    assert face["bbox"] == [8, 4, 24, 20]
    assert face["landmarks"]["chin"] == [16, 20]
    assert (face["roll"], face["yaw"], face["pitch"]) == (0, 0, 0)
    assert (answer["target"], answer["engine"]) == ("face", "vision")
    assert "warnings" not in answer
    assert answer["mask_url"].startswith(f"{BASE}/api/v1/files/img_")
    mask = await pixels_at(client, answer["mask_url"])
    assert (mask.mode, mask.size) == ("L", (96, 64))
    assert np.argwhere(np.asarray(mask) > 127).min(axis=0).tolist() == [4, 8]
    assert np.argwhere(np.asarray(mask) > 127).max(axis=0).tolist() == [19, 23]
    cutout = await pixels_at(client, answer["cutout_url"])
    assert (cutout.mode, cutout.size) == ("RGBA", (96, 64))
    assert np.array_equal(np.asarray(cutout)[..., 3], np.asarray(mask))
    assert np.asarray(cutout)[10, 16].tolist() == [250, 5, 56, 255]


async def test_boxes_landmarks_and_masks_are_those_of_the_upright_original(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    image = with_face(a_flat_image((1024, 512)), person=56, at=(400, 100), size=200)
    [ref] = await upload(client, encoded_turned(image, 6, "PNG"))
    answer = (await segment(client, ref)).json()
    assert capabilities.segmented[0].shape == (128, 256, 3)
    assert answer["faces"][0]["bbox"] == pytest.approx([400, 100, 600, 300], abs=4)
    mask = await pixels_at(client, answer["mask_url"])
    assert mask.size == (1024, 512)
    found = np.argwhere(np.asarray(mask) > 127)
    assert [*found.min(axis=0), *found.max(axis=0)] == pytest.approx([100, 400, 299, 599], abs=4)


async def test_people_are_a_target_too(client: httpx.AsyncClient) -> None:
    answer = (await segment(client, await portrait(client), target="person")).json()
    mask = np.asarray(await pixels_at(client, answer["mask_url"]))
    assert answer["target"] == "person"
    assert mask[60, 16] == 255


async def test_a_picture_that_is_sent_along_is_cut_out_the_same_way(
    client: httpx.AsyncClient, services: Services
) -> None:
    files = {"file": ("anna.png", encoded(a_portrait(), "PNG"))}
    response = await client.post(URL, files=files, data={"target": "person", "engine": "local"})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["target"], answer["engine"]) == ("person", "local")
    name = answer["mask_url"].rsplit("/", 1)[1].removesuffix(".png")
    assert (await client.get(f"/api/v1/images/{name}")).json()["filename"] == "anna-mask.png"


async def temporary(services: Services) -> list[tuple[str | None, bool]]:
    async with services.database.transaction() as session:
        rows = await session.execute(select(ImageRow.filename, ImageRow.temporary).order_by(ImageRow.id))
        return [(name, kept) for name, kept in rows]


async def test_nothing_of_a_picture_that_was_sent_along_stays(client: httpx.AsyncClient, services: Services) -> None:
    await client.post(URL, files={"file": ("anna.png", encoded(a_portrait(), "PNG"))})
    assert await temporary(services) == [("anna.png", True), ("anna-mask.png", True), ("anna-cutout.png", True)]


async def test_a_picture_that_was_uploaded_before_stays(client: httpx.AsyncClient, services: Services) -> None:
    await segment(client, await portrait(client))
    assert [kept for _, kept in await temporary(services)] == [False, True, True]


async def test_a_picture_that_was_fetched_goes(client: httpx.AsyncClient, services: Services, live_url: str) -> None:
    ref = await portrait(client)
    foreign = f"{live_url}/api/v1/f%69les/{ref.rsplit('/', 1)[1]}"  # not spelled as one of ours
    assert (await segment(client, foreign)).status_code == 200
    assert [kept for _, kept in await temporary(services)] == [False, True, True, True]


async def test_several_faces_are_all_listed(client: httpx.AsyncClient) -> None:
    image = with_face(a_portrait(), person=5 * 16 + 8, at=(60, 30))
    answer = (await segment(client, await portrait(client, image))).json()
    assert sorted(face["bbox"][0] for face in answer["faces"]) == [8, 60]


async def test_a_picture_without_a_face_is_a_problem_where_faces_are_asked_for(client: httpx.AsyncClient) -> None:
    assert_problem(await segment(client, await portrait(client, a_flat_image())), 422, "no-face")


async def test_a_picture_without_people_has_an_empty_mask_of_them(client: httpx.AsyncClient) -> None:
    answer = (await segment(client, await portrait(client, a_flat_image()), target="person")).json()
    assert answer["faces"] == []
    assert answer["warnings"] == ["Nobody was found: the mask is empty."]
    assert not np.asarray(await pixels_at(client, answer["mask_url"])).any()


async def test_a_cut_out_may_be_larger_than_what_a_client_may_send(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1500, 500, 3), np.uint8)
    [ref] = await upload(client, encoded(with_face(noise, person=56, at=(0, 0), size=500), quality=40))
    answer = (await segment(client, ref, target="person")).json()
    cutout = (await client.get(answer["cutout_url"])).content
    assert len(cutout) > settings.limits.max_file_bytes
    assert PillowImage.open(io.BytesIO(cutout)).size == (500, 1500)


async def test_a_technical_failure_goes_on_to_the_next_engine(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"segment:vision": ProviderUnavailable("Quota.")}
    assert (await segment(client, await portrait(client))).json()["engine"] == "rekognition"
    assert capabilities.asked == ["segment:vision", "segment:rekognition"]


async def test_a_refused_picture_goes_to_no_other_engine(
    client: httpx.AsyncClient, capabilities: FakeCapabilities
) -> None:
    capabilities.failures = {"segment:vision": ProviderRejected("Refused.")}
    assert_problem(await segment(client, await portrait(client)), 422, "provider-rejected")
    assert capabilities.asked == ["segment:vision"]


async def test_an_engine_that_is_not_configured_is_422_with_those_that_are(client: httpx.AsyncClient) -> None:
    response = await segment(client, await portrait(client), engine="magic")
    assert assert_problem(response, 422, "invalid-request")["engines"] == list(ENGINES)


async def test_a_segmentation_leaves_no_entry_in_the_history(client: httpx.AsyncClient) -> None:
    await segment(client, await portrait(client))
    assert (await client.get("/api/v1/history")).json()["items"] == []


async def test_respond_async_gives_a_job_whose_result_is_the_answer(client: httpx.AsyncClient) -> None:
    later = await segment(client, await portrait(client), headers={"Prefer": "respond-async"})
    assert later.status_code == 202
    await client.get(f"{later.headers['location']}/events")
    job = (await client.get(later.headers["location"])).json()
    assert (job["kind"], job["status"]) == ("segmentation", "succeeded")
    assert set(job["result"]) == {"faces", "target", "engine", "mask_url", "cutout_url"}


async def test_hanging_up_stops_the_work(live_url: str, capabilities: FakeCapabilities, services: Services) -> None:
    capabilities.hanging = {"segment:vision"}
    async with httpx.AsyncClient(base_url=live_url, timeout=20) as client:
        files = {"file": ("a.png", encoded(a_portrait(), "PNG"))}
        asking = asyncio.create_task(client.post(URL, files=files, data={"target": "face"}))
        await asyncio.wait_for(capabilities.hangs.wait(), 10)
        asking.cancel()

        async def is_cancelled() -> bool:
            ended = services.metrics.render().decode()
            return 'jobs_ended_total{kind="segmentation",outcome="cancelled"} 1.0' in ended

        await until(is_cancelled)


@pytest.mark.parametrize(
    "body",
    [{}, {"image_url": ""}, {"image_url": "x", "target": "dog"}, {"image_url": "x", "colour": "red"}, [], None],
)
async def test_a_request_that_makes_no_sense_is_422(idle_client: httpx.AsyncClient, body: Any) -> None:
    assert_problem(await idle_client.post(URL, json=body), 422, "invalid-request")
