"""Duplicates of albums that keep an index, over HTTP: as without one, whatever becomes of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Duplicates, Settings
from serve_app.services.container import Services
from tests.api.conftest import embed, upload
from tests.support.builders import an_image, encoded


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"duplicates": Duplicates(index_from=2)})


def index_files(settings: Settings) -> list[Path]:
    return [path for path in (settings.data_dir / "files" / "indexes").rglob("*") if path.is_file()]


async def duplicates(client: httpx.AsyncClient, album: str) -> dict[str, Any]:
    response = await client.post("/api/v1/albums/duplicates", json={"album_id": album})
    assert response.status_code == 200, response.text
    return dict(response.json())


def files_of(seed: int) -> list[bytes]:
    """A picture, and a copy of it in another format."""
    picture = an_image(seed=seed)
    return [encoded(picture, "PNG"), encoded(picture, "JPEG", quality=90)]


async def an_album_of(client: httpx.AsyncClient, *seeds: int) -> list[str]:
    refs = [ref for seed in seeds for ref in await upload(client, *files_of(seed))]
    await embed(client, "holiday", refs)
    return refs


def grouped(answer: dict[str, Any]) -> set[frozenset[str]]:
    return {frozenset(images) for images in answer["duplicates"].values()}


async def test_copies_of_what_came_before_and_since_are_found_with_a_kept_index(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    first = await an_album_of(client, 0, 1)
    assert grouped(await duplicates(client, "holiday")) == {frozenset(first[:2]), frozenset(first[2:])}
    assert len(index_files(settings)) > 0
    later = await an_album_of(client, 2)
    pairs = [first[:2], first[2:], later]
    assert grouped(await duplicates(client, "holiday")) == {frozenset(pair) for pair in pairs}


@pytest.mark.parametrize("harm", ["lost", "spoilt"])
async def test_an_index_whose_file_is_lost_or_spoilt_is_built_anew(
    client: httpx.AsyncClient, settings: Settings, harm: str
) -> None:
    refs = await an_album_of(client, 0)
    await duplicates(client, "holiday")
    for file in index_files(settings):
        file.unlink() if harm == "lost" else file.write_bytes(b"spoilt")
    more = await an_album_of(client, 1)
    assert grouped(await duplicates(client, "holiday")) == {frozenset(refs), frozenset(more)}


async def test_the_files_of_a_deleted_album_go_after_a_while(
    client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    await an_album_of(client, 0)
    await duplicates(client, "holiday")
    await client.delete("/api/v1/albums/holiday")
    await services.run_housekeeping()
    assert index_files(settings)  # somebody may be reading
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE album_indexes SET created_at = now() - interval '2 hours'"))
    await services.run_housekeeping()
    assert index_files(settings) == []


async def test_an_index_that_is_larger_than_allowed_is_not_kept(
    client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    services.candidates._max_bytes = 10
    refs = await an_album_of(client, 0)
    assert grouped(await duplicates(client, "holiday")) == {frozenset(refs)}
    assert index_files(settings) == []
