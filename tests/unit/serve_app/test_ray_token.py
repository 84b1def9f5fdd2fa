"""The token that Ray's ports ask for, which no other account can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from configs.settings import Auth, Settings
from deployments.errors import Unavailable
from serve_app import ray_token


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_token_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "ray_token"
    previous = os.umask(0)
    try:
        ray_token.ensure_token(path)
    finally:
        os.umask(previous)
    made = path.read_text()
    assert (_mode(path), len(made)) == (0o600, 64)
    ray_token.ensure_token(path)
    assert path.read_text() == made
    assert [found.name for found in tmp_path.iterdir()] == ["ray_token"]


def test_two_folders_have_two_tokens(tmp_path: Path) -> None:
    for name in "ab":
        ray_token.ensure_token(tmp_path / name)
    assert (tmp_path / "a").read_text() != (tmp_path / "b").read_text()


def test_a_token_that_others_can_read_is_taken_from_them(tmp_path: Path) -> None:
    path = tmp_path / "ray_token"
    path.write_text("known")
    path.chmod(0o644)
    ray_token.ensure_token(path)
    assert _mode(path) == 0o600


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_token_file_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ray_token"
    if kind == "link":
        (tmp_path / "elsewhere").write_text("token")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(Unavailable, match="ray_token"):
        ray_token.ensure_token(path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_token_file_of_another_account_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ray_token"
    path.write_text("theirs")
    os.chown(path, 65534, 65534)
    with pytest.raises(Unavailable, match="ray_token"):
        ray_token.ensure_token(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="missing"):
        ray_token.ensure_token(tmp_path / "missing" / "ray_token")


def test_the_variables_ask_for_the_token_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(data_dir=tmp_path / "new")
    variables = ray_token.environment(settings)
    assert variables["RAY_AUTH_MODE"] == "token"
    ray_token.ensure_named(settings, variables)
    assert Path(variables["RAY_AUTH_TOKEN_PATH"]).read_text() == (tmp_path / "new/ray_token").read_text()


@pytest.mark.parametrize("named", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_that_the_operator_has_named_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(named, "/their/own")
    settings = Settings(data_dir=tmp_path)
    assert "RAY_AUTH_TOKEN_PATH" not in ray_token.environment(settings)
    ray_token.ensure_named(settings, os.environ | ray_token.environment(settings))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variables", [{}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": ""}])
def test_a_ray_that_asks_for_no_token_is_refused_unless_the_operator_says_so(variables: dict[str, str]) -> None:
    with pytest.raises(Unavailable) as refused:
        ray_token.require_token(Settings(), variables)
    for name in ("RAY_AUTH_MODE=token", "DARKROOM_AUTH__ALLOW_OPEN_RAY"):
        assert name in refused.value.message
    ray_token.require_token(Settings(auth=Auth(allow_open_ray=True)), variables)
    ray_token.require_token(Settings(), {"RAY_AUTH_MODE": "Token"})


def test_the_file_that_ray_writes_for_all_to_read_is_taken_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ray_token.keep_default_file_private({})  # there is none
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("token")
    path.chmod(0o644)
    ray_token.keep_default_file_private({"RAY_AUTH_TOKEN": "another"})
    assert _mode(path) == 0o644
    ray_token.keep_default_file_private({})
    assert _mode(path) == 0o600
