"""Modes of the data folder and of the folder for Ray's sessions."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from deployments.errors import Unavailable
from serve_app.private_files import ensure_ray_folder, hide_data_folder, ray_folder


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_else_lies_in_the_data_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("files", "website"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    hide_data_folder(tmp_path)
    assert (_mode(tmp_path), _mode(tmp_path / "files"), _mode(tmp_path / "website")) == (0o700, 0o700, 0o755)


def test_a_data_folder_that_is_everybodys_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "files").mkdir(mode=0o755)
    hide_data_folder(tmp_path)
    assert (_mode(tmp_path), _mode(tmp_path / "files")) == (0o1777, 0o700)


def test_the_path_to_the_databases_folder_stays_open_for_its_account(tmp_path: Path) -> None:
    tmp_path.chmod(0o710)
    hide_data_folder(tmp_path)
    assert _mode(tmp_path) == 0o710


def test_links_in_the_data_folder_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    data = tmp_path / "data"
    (data / "files").mkdir(parents=True)
    (data / "files").chmod(0o755)
    (data / "files" / "link").symlink_to(elsewhere)
    (data / "postgres.log").symlink_to(elsewhere)
    hide_data_folder(data)
    assert _mode(elsewhere) == 0o755


def test_rays_sessions_lie_in_a_folder_of_this_account(tmp_path: Path) -> None:
    folder = ray_folder({"TMPDIR": str(tmp_path)})
    folder.mkdir()
    folder.chmod(0o777)
    ensure_ray_folder({"TMPDIR": str(tmp_path), "RAY_TMPDIR": str(folder)})
    assert _mode(folder) == 0o700


def test_a_folder_that_the_operator_names_for_ray_is_left_alone(tmp_path: Path) -> None:
    ensure_ray_folder({"TMPDIR": str(tmp_path), "RAY_TMPDIR": "/their/own"})
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_rays_folder_is_refused(tmp_path: Path) -> None:
    folder = ray_folder({"TMPDIR": str(tmp_path)})
    folder.symlink_to(tmp_path)
    with pytest.raises(Unavailable, match="RAY_TMPDIR"):
        ensure_ray_folder({"TMPDIR": str(tmp_path), "RAY_TMPDIR": str(folder)})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_account_in_the_place_of_rays_is_refused(tmp_path: Path) -> None:
    folder = ray_folder({"TMPDIR": str(tmp_path)})
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(Unavailable, match="RAY_TMPDIR"):
        ensure_ray_folder({"TMPDIR": str(tmp_path), "RAY_TMPDIR": str(folder)})
