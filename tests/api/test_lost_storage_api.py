"""The server while its storage folder is away: nothing is taken for deleted, and nothing is lost when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from configs.settings import Settings
from tests.api.conftest import assert_problem, upload
from tests.support.builders import an_image, encoded


def _rename(root: Path) -> None:
    root.rename(root.with_name("files_away"))


def _put_a_file_in_its_place(root: Path) -> None:
    _rename(root)
    root.write_bytes(b"")


def _bring_back(root: Path) -> None:
    root.unlink(missing_ok=True)
    root.with_name("files_away").rename(root)


@pytest.fixture(params=[_rename, _put_a_file_in_its_place])
def lose(request: pytest.FixtureRequest, settings: Settings) -> Callable[[], None]:
    return lambda: request.param(settings.data_dir / "files")


def _a_picture(number: int) -> bytes:
    return encoded(an_image((60, 40), seed=number), "PNG")


def _assert_away(answer: httpx.Response) -> None:
    assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_file_in_a_lost_folder_is_503(idle_client: httpx.AsyncClient, lose: Callable[[], None]) -> None:
    [url] = await upload(idle_client, _a_picture(1))
    lose()
    _assert_away(await idle_client.get(url))


async def test_an_upload_into_a_lost_folder_is_503_and_makes_no_folder(
    idle_client: httpx.AsyncClient, lose: Callable[[], None], settings: Settings
) -> None:
    lose()
    _assert_away(await idle_client.post("/api/v1/images", files={"file": ("a.png", _a_picture(1))}))
    assert not (settings.data_dir / "files").is_dir()


async def test_deleting_from_a_lost_folder_is_503_and_keeps_the_image(
    idle_client: httpx.AsyncClient, lose: Callable[[], None], settings: Settings
) -> None:
    [url] = await upload(idle_client, _a_picture(1))
    image = f"/api/v1/images/{url.rpartition('/')[2].partition('.')[0]}"
    lose()
    _assert_away(await idle_client.delete(image))
    _bring_back(settings.data_dir / "files")
    assert (await idle_client.get(url)).content == _a_picture(1)
    assert (await idle_client.delete(image)).status_code == 204


async def test_an_album_waits_for_a_lost_folder_and_is_embedded_when_it_returns(
    client: httpx.AsyncClient, lose: Callable[[], None], settings: Settings
) -> None:
    refs = await upload(client, _a_picture(1), _a_picture(2))
    lose()
    body = {"images": refs, "album_id": "a"}
    asked = await client.post("/api/v1/albums/embeddings", json=body, headers={"Prefer": "wait=2"})
    assert asked.status_code in {202, 503}, asked.text
    album = (await client.get("/api/v1/albums/a")).json()
    assert {image["status"] for image in album["images"]} == {"pending"}
    _bring_back(settings.data_dir / "files")
    async with asyncio.timeout(60):
        while {image["status"] for image in album["images"]} != {"embedded"}:
            await asyncio.sleep(0.1)
            album = (await client.get("/api/v1/albums/a")).json()
