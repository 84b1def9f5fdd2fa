"""Temporary folders of uploads whose process was killed."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from serve_app.services.images.service import remove_abandoned_uploads


def test_only_old_folders_of_uploads_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = {"darkroom-upload-new": 0.0, "somebody-elses": 7200.0}
    for name, age_s in {"darkroom-upload-old": 7200.0, **kept}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(b"half")
        os.utime(folder, (time.time() - age_s,) * 2)

    remove_abandoned_uploads()

    assert {path.name for path in tmp_path.iterdir()} == set(kept)


def test_a_link_of_that_name_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    target = tmp_path / "data"
    target.mkdir()
    (target / "file").write_bytes(b"whole")
    os.utime(target, (0, 0))
    link = tmp_path / "darkroom-upload-link"
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)

    remove_abandoned_uploads()

    assert (target / "file").exists()
