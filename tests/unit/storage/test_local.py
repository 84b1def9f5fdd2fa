"""Storage in a folder, beyond the contract of every storage (contract/storage), and the choice of a storage."""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from configs.settings import Settings
from deployments.errors import Unavailable
from serve_app.storage import Storage, content_key, local, open_storage
from serve_app.storage.local import STALE_AFTER_S, LocalStorage

SHA = "ab12" + "0" * 60


@pytest.fixture
async def storage(tmp_path: Path) -> Storage:
    (tmp_path / "secret").write_bytes(b"secret")
    return await LocalStorage.at(tmp_path / "files")


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


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


async def test_a_reader_never_sees_half_of_an_object_that_is_replaced(storage: Storage) -> None:
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


def _all(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def _rename(root: Path) -> None:
    root.rename(root.with_name("away"))


def _put_a_file_in_its_place(root: Path) -> None:
    _rename(root)
    root.write_bytes(b"")


def _leave_an_empty_mount_point(root: Path) -> None:
    _rename(root)
    root.mkdir()


@pytest.mark.parametrize("lose", [_rename, _put_a_file_in_its_place, _leave_an_empty_mount_point])
async def test_a_folder_that_is_lost_is_unavailable_to_every_call_and_is_not_made_anew(
    storage: Storage, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    await storage.put("a/b", b"x")
    opened = await storage.open("a/b")
    lose(tmp_path / "files")
    left = _all(tmp_path)
    for call in (storage.get, storage.open, storage.path, storage.exists, storage.delete):
        for key in ("a/b", "never-stored"):
            with pytest.raises(Unavailable, match="The storage folder is not there"):
                await call(key)
    with pytest.raises(Unavailable):
        await anext(opened.chunks)
    with pytest.raises(Unavailable):
        await storage.put("c/d", b"y")
    with pytest.raises(Unavailable):
        await storage.check()
    assert _all(tmp_path) == left


async def test_a_folder_that_comes_back_serves_what_it_held(storage: Storage, tmp_path: Path) -> None:
    await storage.put("a/b", b"x")
    _rename(tmp_path / "files")
    with pytest.raises(Unavailable):
        await storage.get("a/b")
    (tmp_path / "away").rename(tmp_path / "files")
    assert await storage.get("a/b") == b"x"
    await storage.check()


async def test_a_key_below_an_object_is_refused_without_harm(storage: Storage) -> None:
    await storage.put("a", b"x")
    with pytest.raises(Unavailable):
        await storage.put("a/b", b"y")
    assert await storage.get("a") == b"x"


async def test_the_address_chooses_the_storage(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    await (await open_storage(None, settings)).put("a", b"x")
    await (await open_storage(f"file://{tmp_path}/else%20where", settings)).put("b", b"y")
    assert (tmp_path / "data/files/a").read_bytes() == b"x"
    assert (tmp_path / "else where/b").read_bytes() == b"y"


@pytest.mark.parametrize("url", ["ftp://host/x", "file://host/x", "file:relative", "/plain/path", ""])
async def test_an_address_of_another_kind_is_a_configuration_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="storage_url"):
        await open_storage(url, Settings(data_dir=tmp_path))
