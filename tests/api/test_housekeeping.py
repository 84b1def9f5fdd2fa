"""Deleted, expired and aborted things leave no rows and no files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Settings
from deployments.errors import NotFound
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.store.repositories import albums
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, embed, upload
from tests.support.builders import an_image, encoded


def stored_files(settings: Settings) -> list[Path]:
    return [path for path in (settings.data_dir / "files").rglob("*") if path.is_file()]


async def count(services: Services, table: str) -> int:
    async with services.database.transaction() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


class PictureServer:
    """Serves one picture; each answer waits until it is let go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.picture = encoded(an_image(size=(1400, 40)), "PNG")

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.go.wait()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.picture)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + self.picture)
        await writer.drain()
        writer.close()


async def test_deleting_everything_leaves_no_file(
    client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    refs = await upload(client, *(encoded(an_image(size=(1400, 30), seed=seed), "PNG") for seed in range(3)))
    await embed(client, "a", refs)
    await client.delete("/api/v1/albums/a")
    assert stored_files(settings)
    for ref in refs:
        assert (await client.delete(f"/api/v1/images/{ref.rsplit('/', 1)[1].split('.')[0]}")).status_code == 204
    assert stored_files(settings) == []


async def test_an_album_deleted_while_its_pictures_are_fetched_leaves_nothing(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    pictures = PictureServer()
    async with await asyncio.start_server(pictures, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        user = LOCAL_USER_ID
        await services.albums.request_embeddings(user, [url], "a")
        async with services.database.transaction() as session:
            album = await albums.find(session, user, "a")
        assert album is not None
        reading = asyncio.create_task(services.reader.read_album(user, album.id, Progress()))
        await asyncio.wait_for(pictures.asked.wait(), 20)
        assert (await idle_client.delete("/api/v1/albums/a")).status_code == 204
        pictures.go.set()
        with pytest.raises(ExceptionGroup) as raised:
            await asyncio.wait_for(reading, 20)
    assert raised.group_contains(NotFound)
    await services.run_housekeeping()
    assert await count(services, "images") == 0
    assert stored_files(settings) == []


async def test_an_upload_that_fails_after_its_file_was_stored_leaves_no_file(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("serve_app.store.repositories.images.add", broken)
    files = {"file": ("a.png", encoded(an_image(size=(1400, 30)), "PNG"))}
    assert_problem(await idle_client.post("/api/v1/images", files=files), 500)
    assert stored_files(settings)
    await services.run_housekeeping()
    assert stored_files(settings) == []


async def test_every_expired_album_goes_in_one_round(client: httpx.AsyncClient, services: Services) -> None:
    [ref] = await upload(client, encoded(an_image(), "PNG"))
    for _ in range(22):  # more than one batch
        assert (await client.post("/api/v1/albums/quality", json={"images": [ref]})).status_code == 200
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE albums SET expires_at = now() - interval '1 s'"))
    await services.run_housekeeping()
    assert await count(services, "albums") == 0
    assert await count(services, "jobs") == 0


async def test_a_url_of_a_deleted_image_is_not_found(client: httpx.AsyncClient) -> None:
    good, gone = await upload(client, encoded(an_image(), "PNG"), encoded(an_image(seed=1), "PNG"))
    await client.delete(f"/api/v1/images/{gone.rsplit('/', 1)[1].split('.')[0]}")
    gone = gone.replace("localhost", "10.0.0.1")
    answer = (await client.post("/api/v1/albums/quality", json={"images": [good, gone]})).json()
    assert [(entry["image"], entry["code"]) for entry in answer["failed"]] == [(gone, "not_found")]
