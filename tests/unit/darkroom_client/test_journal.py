"""The journal of uploads knows files by their place in the folder that is uploaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.server import free_port
from darkroom_client import Darkroom, Retries
from darkroom_client.cli.journal import UploadJournal
from darkroom_client.errors import Unreachable
from darkroom_client.models import Upload


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def _upload() -> Upload:
    fields = {"id": "img_1", "url": "http://s/img_1.jpg", "sha256": "0", "content_type": "image/jpeg", "width": 1}
    return Upload.model_validate({**fields, "height": 1, "bytes": 1, "filename": "a.jpg"})


@pytest.mark.parametrize("change", ["rewritten", "deleted"])
def test_a_file_that_is_another_one_once_it_was_sent_is_not_noted_as_sent(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"a")
    journal = UploadJournal("http://s", tmp_path)
    with Darkroom(f"http://127.0.0.1:{free_port()}", retries=Retries(tries=1)) as client:
        assert journal.known(client, [file]) == {}
        file.unlink()
        if change == "rewritten":
            file.write_bytes(b"another")
        journal.add({file: _upload()})
        assert UploadJournal("http://s", tmp_path).known(client, [file]) == {}  # nobody is asked


@pytest.mark.parametrize("relative", [False, True])
def test_a_link_to_a_file_elsewhere_is_noted_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, relative: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jpg").write_bytes(b"a")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    if relative:
        monkeypatch.chdir(tmp_path)
        folder = Path("photos")
    journal = UploadJournal("http://s", folder)
    journal.add({folder / "a.jpg": _upload()})
    server = f"http://127.0.0.1:{free_port()}"
    with Darkroom(server, retries=Retries(tries=1)) as client, pytest.raises(Unreachable):
        journal.known(client, [folder / "a.jpg"])  # it is noted: the server is asked for it
    os.utime(tmp_path / "elsewhere" / "a.jpg", ns=(1, 1))
    with Darkroom(server, retries=Retries(tries=1)) as client:
        assert journal.known(client, [folder / "a.jpg"]) == {}  # another file now: nobody is asked
