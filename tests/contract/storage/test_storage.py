"""Storages: the contract that each one keeps, on a folder, on S3 and on Google Cloud Storage, the last two over
HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from configs.settings import Settings, StorageOptions
from deployments.errors import NotFound
from serve_app.storage import Storage, content_key, is_key, open_storage
from serve_app.storage.object_store import PIECE_BYTES
from tests.support.object_stores import BUCKET, gcs_client, isolate_credentials, s3_client

SHA = "ab12" + "0" * 60
HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../secret",
    "a/../../secret",
    "a/./b",
    "a//b",
    "a/",
    ".hidden",
    "a/.incoming/b",
    ".incoming/x",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "a%2e%2e/b",
    "ä",
    "~root/x",
    "C:/x",
    "x" * 300,
    "/".join("abcdefghi"),
]


@dataclass
class StoragePlace:
    """A storage, and a look at what lies there past it."""

    storage: Storage
    names: Callable[[], list[str]]


@pytest.fixture(params=["local", "s3", "gcs"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StoragePlace]:
    """Empty; beside it lies `secret`."""
    isolate_credentials(monkeypatch)
    folder = f"folder-{uuid.uuid4().hex}"
    options: dict[str, Any] = {}
    if request.param == "local":
        root = tmp_path / folder
        (tmp_path / "secret").write_bytes(b"secret")
        url = f"file://{root}"

        def names() -> list[str]:
            return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]

    elif request.param == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        options, url = {"s3_endpoint_url": endpoint}, f"s3://{BUCKET}/{folder}"

        def names() -> list[str]:
            with contextlib.closing(s3_client(endpoint)) as client:
                listed = client.list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])
            return [entry["Key"].removeprefix(f"{folder}/") for entry in listed]

    else:
        endpoint = request.getfixturevalue("gcs_endpoint")
        options, url = {"gcs_endpoint_url": endpoint}, f"gs://{BUCKET}/{folder}"

        def names() -> list[str]:
            with contextlib.closing(gcs_client(endpoint)) as client:
                return [blob.name.removeprefix(f"{folder}/") for blob in client.list_blobs(BUCKET, prefix=folder)]

    storage = await open_storage(url, Settings(data_dir=tmp_path, storage=StorageOptions(**options)))
    yield StoragePlace(storage, lambda: sorted(names()))
    await storage.close()


@pytest.fixture
def storage(place: StoragePlace) -> Storage:
    return place.storage


async def _all(storage: Storage, key: str) -> bytes:
    stored = await storage.open(key)
    return b"".join([part async for part in stored.chunks])


@pytest.mark.parametrize("size", [1, PIECE_BYTES, 2 * PIECE_BYTES + 7])
async def test_an_object_comes_back_as_it_was_put_from_bytes_and_from_a_file(
    storage: Storage, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)
    (tmp_path / "upload").write_bytes(data)
    await storage.put("originals/a", data)
    await storage.put("originals/b", tmp_path / "upload")
    for key in ("originals/a", "originals/b"):
        assert await storage.get(key) == data
        assert (await storage.open(key)).size == len(data)
        assert await _all(storage, key) == data
    assert (tmp_path / "upload").exists()


@pytest.mark.parametrize("size", [10, 2 * PIECE_BYTES + 7])
async def test_a_part_of_an_object_comes_without_the_rest(storage: Storage, size: int) -> None:
    data = os.urandom(size)
    await storage.put("a", data)
    for start, stop in ((0, 1), (3, 9), (size - 4, size), (size // 2, size), (0, size), (size - 4, size + 100)):
        part = await storage.open("a", start, stop)
        assert part.size == size
        assert b"".join([piece async for piece in part.chunks]) == data[start:stop]


async def test_only_an_object_on_this_machine_has_a_path(place: StoragePlace, request: pytest.FixtureRequest) -> None:
    await place.storage.put("a", b"bytes")
    path = await place.storage.path("a")
    if request.node.callspec.params["place"] == "local":
        assert path is not None
        assert path.read_bytes() == b"bytes"
        with pytest.raises(NotFound):
            await place.storage.path("b")
    else:
        assert path is None


async def test_keys_are_names_below_the_folder_of_the_address(place: StoragePlace) -> None:
    await place.storage.put(content_key("originals", SHA), b"x")
    await place.storage.put(content_key("previews", SHA, ".jpg"), b"y")
    assert place.names() == [f"originals/ab/12/{SHA}", f"previews/ab/12/{SHA}.jpg"]


async def test_an_object_of_the_same_length_is_taken_for_the_same(storage: Storage) -> None:
    await storage.put("a", b"same")
    await storage.put("a", b"SAME")
    assert await storage.get("a") == b"same"


async def test_an_object_of_another_length_replaces_the_old_one(storage: Storage) -> None:
    await storage.put("a", b"old")
    await storage.put("a", b"newer")
    assert await storage.get("a") == b"newer"


async def test_an_empty_object_is_an_object(storage: Storage) -> None:
    await storage.put("a", b"")
    assert await storage.exists("a")
    assert await storage.get("a") == b""
    assert (await storage.open("a")).size == 0
    assert await _all(storage, "a") == b""


async def test_a_hostile_key_is_never_there_and_cannot_be_written(place: StoragePlace, tmp_path: Path) -> None:
    storage = place.storage
    for key in HOSTILE:
        assert not is_key(key)
        assert not await storage.exists(key)
        for read in (storage.get, storage.open):
            with pytest.raises(NotFound):
                await read(key)
        with pytest.raises(ValueError, match="not a storage key"):
            await storage.put(key, b"x")
        await storage.delete(key)
    assert place.names() == []
    if (tmp_path / "secret").exists():
        assert (tmp_path / "secret").read_bytes() == b"secret"


async def test_a_missing_object_is_not_found_before_the_first_piece(storage: Storage) -> None:
    await storage.put("folder/object", b"x")
    for key in ("gone", "folder", "folder/object/below"):
        assert not await storage.exists(key)
        for read in (storage.get, storage.open):
            with pytest.raises(NotFound) as caught:
                await read(key)
            assert "/" not in caught.value.message


async def test_a_missing_upload_is_not_mistaken_for_a_missing_object(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await storage.put("a", tmp_path / "never-uploaded")
    assert not await storage.exists("a")


async def test_deleting_removes_one_object_and_may_be_repeated(place: StoragePlace) -> None:
    await place.storage.put("originals/ab/12/one", b"x")
    await place.storage.put("originals/ab/12/two", b"x")
    for _ in range(2):
        await place.storage.delete("originals/ab/12/one")
    assert place.names() == ["originals/ab/12/two"]


async def test_putting_and_deleting_neighbours_at_once_loses_nothing(storage: Storage) -> None:
    async def churn(name: str) -> None:
        for _ in range(5):
            await storage.put(f"k/aa/bb/{name}", b"x")
            await storage.delete(f"k/aa/bb/{name}")
        await storage.put(f"k/aa/bb/{name}", b"kept")

    await asyncio.gather(*(churn(str(number)) for number in range(6)))
    for number in range(6):
        assert await storage.get(f"k/aa/bb/{number}") == b"kept"


async def test_a_reader_sees_all_of_an_object_or_nothing(storage: Storage) -> None:
    data = os.urandom(1_000_000)

    async def read(key: str) -> bytes:
        while True:
            with contextlib.suppress(NotFound):
                return await storage.get(key)
            await asyncio.sleep(0)

    keys = [f"a{number}" for number in range(6)]
    async with asyncio.timeout(60):
        *_, first, second, third = await asyncio.gather(
            *(storage.put(key, data) for key in keys), *(read(key) for key in keys[:3])
        )
    assert first == second == third == data


async def test_a_healthy_storage_passes_its_check_and_stays_as_it_was(place: StoragePlace) -> None:
    await place.storage.check()
    assert place.names() == []


async def test_objects_are_served_by_this_server_unless_a_setting_says_otherwise(storage: Storage) -> None:
    await storage.put("a", b"x")
    assert await storage.url("a") is None
