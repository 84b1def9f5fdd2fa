"""Local storage keeps whole objects or none, stays inside its folder, and says clearly what is wrong."""

import asyncio
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.settings import Settings
from deployments.errors import NotFound, Unavailable
from serve_app.storage import Storage, content_key, is_key, local, open_storage
from serve_app.storage.local import STALE_AFTER_S, LocalStorage

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


@pytest.fixture
async def storage(tmp_path: Path) -> Storage:
    (tmp_path / "secret").write_bytes(b"secret")
    return await LocalStorage.at(tmp_path / "files")


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def _all(storage: Storage, key: str) -> bytes:
    stored = await storage.open(key)
    return b"".join([part async for part in stored.chunks])


async def test_what_is_put_comes_back_from_bytes_and_from_a_file(storage: Storage, tmp_path: Path) -> None:
    data = os.urandom(700_000)
    (tmp_path / "upload").write_bytes(data)
    await storage.put("originals/a", data)
    await storage.put("originals/b", tmp_path / "upload")
    for key in ("originals/a", "originals/b"):
        assert await storage.get(key) == data
        assert (await storage.open(key)).size == len(data)
        assert await _all(storage, key) == data
    assert (tmp_path / "upload").exists()


async def test_a_content_key_fans_out_over_two_levels(storage: Storage, tmp_path: Path) -> None:
    await storage.put(content_key("originals", SHA), b"x")
    await storage.put(content_key("previews", SHA, ".jpg"), b"y")
    assert _files(tmp_path / "files") == [f"originals/ab/12/{SHA}", f"previews/ab/12/{SHA}.jpg"]


async def test_putting_the_same_again_writes_nothing(storage: Storage, tmp_path: Path) -> None:
    await storage.put("a", b"same")
    before = (tmp_path / "files/a").stat()
    await storage.put("a", b"same")
    after = (tmp_path / "files/a").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


async def test_an_object_of_another_length_replaces_the_old_one(storage: Storage) -> None:
    await storage.put("a", b"old")
    await storage.put("a", b"newer")
    assert await storage.get("a") == b"newer"


async def test_an_empty_object_is_an_object(storage: Storage) -> None:
    await storage.put("a", b"")
    assert await storage.exists("a")
    assert await storage.get("a") == b""
    assert await _all(storage, "a") == b""


@pytest.mark.parametrize("key", HOSTILE)
async def test_a_hostile_key_is_never_there_and_cannot_be_written(storage: Storage, tmp_path: Path, key: str) -> None:
    assert not is_key(key)
    assert not await storage.exists(key)
    for read in (storage.get, storage.open):
        with pytest.raises(NotFound):
            await read(key)
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.put(key, b"x")
    await storage.delete(key)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert _files(tmp_path / "files") == []


async def test_what_is_missing_is_not_found_before_the_first_piece(storage: Storage) -> None:
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


async def test_deleting_removes_one_file_and_may_be_repeated(storage: Storage, tmp_path: Path) -> None:
    await storage.put("originals/ab/12/one", b"x")
    await storage.put("originals/ab/12/two", b"x")
    for _ in range(2):
        await storage.delete("originals/ab/12/one")
    assert [path.name for path in (tmp_path / "files/originals").rglob("*") if path.is_file()] == ["two"]


async def test_putting_and_deleting_neighbours_at_once_loses_nothing(storage: Storage) -> None:
    async def churn(name: str) -> None:
        for _ in range(50):
            await storage.put(f"k/aa/bb/{name}", b"x")
            await storage.delete(f"k/aa/bb/{name}")
        await storage.put(f"k/aa/bb/{name}", b"kept")

    await asyncio.gather(*(churn(str(number)) for number in range(6)))
    for number in range(6):
        assert await storage.get(f"k/aa/bb/{number}") == b"kept"


async def test_a_reader_never_sees_half_an_object(storage: Storage) -> None:
    old, new = b"o" * 1_000_000, b"n" * 1_000_001
    await storage.put("a", old)

    async def write() -> None:
        for number in range(6):
            await storage.put("a", (new, old)[number % 2])

    async def read() -> list[bool]:
        return [await storage.get("a") in (old, new) for _ in range(20)]

    _, seen = await asyncio.gather(write(), read())
    assert all(seen)


async def test_the_leftovers_of_a_crash_are_swept_and_work_in_progress_is_not(tmp_path: Path) -> None:
    incoming = tmp_path / "files/.incoming"
    incoming.mkdir(parents=True)
    (incoming / "dead").write_bytes(b"half")
    (incoming / "busy").write_bytes(b"half")
    long_ago = time.time() - 2 * STALE_AFTER_S
    os.utime(incoming / "dead", (long_ago, long_ago))
    await LocalStorage.at(tmp_path / "files")
    assert _files(incoming) == ["busy"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/data/files/x")

    with monkeypatch.context() as patch:
        patch.setattr(local.os, "fsync", fsync)
        yield


@pytest.mark.usefixtures("full_disk")
async def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        await storage.put("a/b", b"x")
    assert caught.value.message == "The storage is full"
    assert _files(tmp_path / "files") == []
    with pytest.raises(Unavailable):
        await storage.check()


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable) as caught:
        await LocalStorage.at(tmp_path / "file/files")
    assert str(tmp_path) not in caught.value.message


async def test_a_key_below_an_object_is_refused_without_harm(storage: Storage) -> None:
    await storage.put("a", b"x")
    with pytest.raises(Unavailable):
        await storage.put("a/b", b"y")
    assert await storage.get("a") == b"x"


async def test_a_healthy_storage_passes_its_check_and_stays_as_it_was(storage: Storage, tmp_path: Path) -> None:
    await storage.check()
    assert _files(tmp_path / "files") == []


async def test_local_objects_are_served_by_this_server(storage: Storage) -> None:
    assert await storage.url("a") is None


async def test_the_address_chooses_the_place(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    await (await open_storage(None, settings)).put("a", b"x")
    await (await open_storage(f"file://{tmp_path}/else%20where", settings)).put("b", b"y")
    assert (tmp_path / "data/files/a").read_bytes() == b"x"
    assert (tmp_path / "else where/b").read_bytes() == b"y"


@pytest.mark.parametrize("url", ["ftp://host/x", "file://host/x", "file:relative", "/plain/path", ""])
async def test_an_address_of_another_kind_is_a_configuration_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="storage_url"):
        await open_storage(url, Settings(data_dir=tmp_path))
