"""What the services of a server keep on disk is out of reach of other accounts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.strangers import a_folder_on_the_way, loose_modes, needs_root, within_reach

SERVER = """
import asyncio, io, sys
from pathlib import Path
from configs.settings import Settings
from serve_app.private_files import hide_data_folder, hide_new_files
from serve_app.ray_token import ensure_token
from serve_app.services.container import Services
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.telemetry import Metrics
from tests.support.builders import an_image, encoded
from tests.support.fakes import FakeCapabilities

class Upload:
    def __init__(self, data):
        self._file = io.BytesIO(data)
    async def read(self, size=-1, /):
        return self._file.read(size)

async def main():
    hide_new_files()
    settings = Settings(data_dir=Path(sys.argv[1]), database_url=None, storage_url=None)
    hide_data_folder(settings.data_dir)
    services = await Services.open(settings, FakeCapabilities(), Metrics("test"), name="test")
    ensure_token(settings.data_dir / "ray_token")
    await services.images.upload(LOCAL_USER_ID, "holiday.png", Upload(encoded(an_image((1400, 90)), "PNG")))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await services.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def data_folder() -> Iterator[Path]:
    """Of a server that runs, on a folder that an earlier version has left open to everybody."""
    with a_folder_on_the_way() as parent:
        folder = parent / "data"
        left = folder / "files" / "originals" / "ab"
        left.mkdir(parents=True)
        (left / "picture").write_bytes(b"private")
        for path in (left / "picture", left, left.parent, left.parent.parent, folder):
            path.chmod(0o777 if path.is_dir() else 0o666)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert server.stdin
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        yield folder
        server.stdin.close()
        assert server.wait(60) == 0
        server.stdout.close()


@needs_root
def test_a_stranger_reads_nothing_of_the_data_folder(data_folder: Path) -> None:
    assert within_reach(data_folder) == []


def test_folders_are_0700_and_files_0600(data_folder: Path) -> None:
    assert loose_modes(data_folder) == []
    assert len(list((data_folder / "files").rglob("*"))) > 3


def test_the_data_folder_is_at_most_a_path_for_the_databases_account(data_folder: Path) -> None:
    assert data_folder.stat().st_mode & 0o067 == 0


@needs_root
def test_a_stranger_finds_what_is_left_open(tmp_path: Path) -> None:
    """The search itself: it would find something."""
    with a_folder_on_the_way() as folder:
        (folder / "open").write_text("for all")
        (folder / "open").chmod(0o644)
        (folder / "closed").write_text("private")
        (folder / "closed").chmod(0o600)
        assert within_reach(folder) == [str(folder), str(folder / "open")]
