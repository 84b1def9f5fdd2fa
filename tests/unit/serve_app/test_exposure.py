"""A server that other machines reach without a key is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from configs.settings import Auth, Immich, Settings
from deployments.errors import Unavailable
from serve_app.exposure import require_guarded, require_known_addresses

KEYS = Auth(mode="api_key", admin_key=SecretStr("sixteen letters!"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "darkroom.example.org", ""])
def test_a_server_that_others_reach_needs_keys_or_the_operators_word(host: str) -> None:
    with pytest.raises(Unavailable) as refused:
        require_guarded(Settings(http_host=host))
    for setting in ("DARKROOM_HTTP_HOST", "DARKROOM_AUTH__MODE", "DARKROOM_AUTH__ALLOW_OPEN"):
        assert setting in refused.value.message
    require_guarded(Settings(http_host=host, auth=KEYS))
    require_guarded(Settings(http_host=host, auth=Auth(allow_open=True)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_a_server_on_the_loopback_interface_needs_no_keys(host: str) -> None:
    require_guarded(Settings(http_host=host))


def test_where_all_seem_to_call_from_this_machine_nobody_is_let_in_by_an_address() -> None:
    require_known_addresses(Settings())
    with pytest.raises(Unavailable, match="DARKROOM_IMMICH__ENABLED"):
        require_known_addresses(Settings(immich=Immich(enabled=True)))


def test_the_address_of_serves_proxy_counts_too() -> None:
    require_guarded(Settings(), "127.0.0.1")
    require_guarded(Settings(auth=KEYS), "0.0.0.0")
    with pytest.raises(Unavailable, match=r"http_options\.host=0\.0\.0\.0"):
        require_guarded(Settings(), "0.0.0.0")


def test_keys_without_an_administrator_are_no_configuration() -> None:
    for key in (None, SecretStr("short")):
        with pytest.raises(ValidationError):
            Auth(mode="api_key", admin_key=key)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DARKROOM_HTTP_HOST": "0.0.0.0"}, ["DARKROOM_HTTP_HOST=0.0.0.0", "DARKROOM_AUTH__MODE=disabled"]),
        ({"DARKROOM_AUTH__MODE": "api_key"}, ["DARKROOM_AUTH__ADMIN_KEY"]),
        ({"RAY_AUTH_MODE": "disabled"}, ["RAY_AUTH_MODE=token", "DARKROOM_AUTH__ALLOW_OPEN_RAY"]),
    ],
)
def test_the_start_of_an_open_server_is_refused_in_one_line(
    tmp_path: Path, variables: dict[str, str], words: list[str]
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    environment |= {"DARKROOM_DATA_DIR": str(tmp_path / "data"), **variables}
    ended = subprocess.run(
        [sys.executable, "-m", "serve_app"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert all(word in line for word in words)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("variable", ["DARKROOM_AUTH__ADMIN_KEY", "DARKROOM_AUTH__ADMIN_KEYS"])
def test_a_key_that_is_refused_is_not_in_the_error(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "a short secret")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert variable.rsplit("__", 1)[1].lower() in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_key_may_end_with_the_line_break_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_AUTH__ADMIN_KEY", "sixteen letters!\n")
    key = Settings().auth.admin_key
    assert key is not None
    assert key.get_secret_value() == "sixteen letters!"
