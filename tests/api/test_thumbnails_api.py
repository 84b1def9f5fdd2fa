"""Thumbnails of stored images over HTTP."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image as PillowImage

from configs.settings import Settings
from deployments.errors import NotFound
from serve_app.services.container import Services
from serve_app.services.images.store import derived_key
from serve_app.services.images.thumbnails import Thumbnail, Thumbnails
from serve_app.storage.local import LocalStorage
from serve_app.store.repositories import images
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, upload
from tests.api.test_housekeeping import stored_files
from tests.support.builders import an_image, encoded, encoded_turned

LARGE = (1600, 400)
"""Large enough to have a preview."""


def opened(data: bytes) -> PillowImage.Image:
    return PillowImage.open(io.BytesIO(data))


@pytest.mark.parametrize(("form", "size", "shape"), [("webp", 256, (64, 256)), ("jpeg", 1024, (256, 1024))])
async def test_a_thumbnail_is_upright_and_of_the_size_and_format_that_was_asked_for(
    idle_client: httpx.AsyncClient, form: str, size: int, shape: tuple[int, int]
) -> None:
    [url] = await upload(idle_client, encoded_turned(an_image((400, 1600)), 6))
    answer = await idle_client.get(url, params={"size": size, "format": form})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"image/{form}"
    with opened(answer.content) as picture:
        assert (picture.format, picture.size) == (form.upper(), shape)


async def test_the_largest_thumbnail_is_made_of_the_file_itself(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    with opened((await idle_client.get(url, params={"size": 2048})).content) as picture:
        assert (picture.format, picture.size) == ("WEBP", LARGE)


async def test_a_small_image_is_not_enlarged(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image((30, 20)), "PNG"))
    with opened((await idle_client.get(url, params={"size": 512, "format": "jpeg"})).content) as picture:
        assert picture.size == (30, 20)


async def test_a_thumbnail_is_made_once_and_kept(idle_client: httpx.AsyncClient, settings: Settings) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    first = await idle_client.get(url, params={"size": 256})
    for preview in (settings.data_dir / "files" / "previews").rglob("*.jpg"):
        preview.unlink()
    assert (await idle_client.get(url, params={"size": 256})).content == first.content


async def test_a_thumbnail_that_was_lost_is_made_again(idle_client: httpx.AsyncClient, settings: Settings) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    first = await idle_client.get(url, params={"size": 256})
    [file] = (settings.data_dir / "files" / "thumbnails").rglob("*.webp")
    file.unlink()
    assert (await idle_client.get(url, params={"size": 256})).content == first.content


async def test_a_thumbnail_is_kept_by_clients_for_good_and_told_apart_from_its_image(
    idle_client: httpx.AsyncClient,
) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    tags = set()
    for query in ({}, {"size": 256}, {"size": 256, "format": "jpeg"}, {"size": 512}):
        answer = await idle_client.get(url, params=query)
        assert "immutable" in answer.headers["cache-control"]
        again = await idle_client.get(url, params=query, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        tags.add(answer.headers["etag"])
    assert len(tags) == 4


async def test_a_thumbnail_answers_head_and_range(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    whole = await idle_client.get(url, params={"size": 256})
    head = await idle_client.head(url, params={"size": 256})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    part = await idle_client.get(url, params={"size": 256}, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])


@pytest.mark.parametrize(
    "query", ["size=300", "size=0", "size=256&format=png", "format=webp", "width=256", "size=256&size2=1", "size="]
)
async def test_a_query_that_asks_for_no_thumbnail_is_422(idle_client: httpx.AsyncClient, query: str) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    assert_problem(await idle_client.get(f"{url}?{query}"), 422, "invalid-request")


async def test_a_thumbnail_of_an_unknown_image_is_404(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.get("/api/v1/files/img_nothing.jpg?size=256"), 404, "not-found")


async def test_thumbnails_go_with_their_image(idle_client: httpx.AsyncClient, settings: Settings) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    for size in (256, 2048):
        assert (await idle_client.get(url, params={"size": size})).status_code == 200
    assert len(stored_files(settings)) == 4
    image_id = url.rsplit("/", 1)[1].split(".")[0]
    assert (await idle_client.delete(f"/api/v1/images/{image_id}")).status_code == 204
    assert stored_files(settings) == []


class HoldingStorage(LocalStorage):
    """Stores a file when it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.putting, self.let_go = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, source: bytes | Path, content_type: str = "") -> None:
        self.putting.set()
        await self.let_go.wait()
        await super().put(key, source, content_type)


async def test_a_thumbnail_of_a_picture_that_is_deleted_meanwhile_is_404_and_leaves_nothing(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    image_id = url.rsplit("/", 1)[1].split(".")[0]
    async with services.database.transaction() as session:
        image = await images.get(session, LOCAL_USER_ID, image_id)
    assert image is not None
    storage = HoldingStorage(settings.data_dir / "files")
    thumbnails = Thumbnails(services.database, storage, services.pictures, settings)
    # Its preview is in the storage of the server, which opens the same folder.
    making = asyncio.create_task(thumbnails.find_or_make(image.content, Thumbnail(256, "webp")))
    await asyncio.wait_for(storage.putting.wait(), 20)
    assert (await idle_client.delete(f"/api/v1/images/{image_id}")).status_code == 204
    storage.let_go.set()
    with pytest.raises(NotFound):
        await making
    async with asyncio.timeout(20):
        assert not await storage.exists(derived_key(image.content.sha256, "256.webp"))
    assert stored_files(settings) == []


async def test_clients_that_ask_at_once_get_the_same_thumbnail(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(LARGE)))
    answers = await asyncio.gather(*(idle_client.get(url, params={"size": 512}) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
