"""`darkroom users` and `darkroom history` against a real HTTP server that asks for keys."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from configs.settings import Settings
from darkroom_client.cli.failures import NO_KEY
from serve_app.cli.main import main
from tests.support.accounts import ADMIN_KEY, Account, with_keys
from tests.support.builders import an_image, encoded


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DARKROOM_API_KEY", raising=False)
    monkeypatch.setenv("DARKROOM_ADMIN_KEY", ADMIN_KEY)
    return with_keys(settings)


async def run(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["--server", url, *arguments])


async def test_without_a_key_the_command_ends_with_one_clear_line(
    live_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(live_url, "albums") == NO_KEY
    printed = " ".join(capsys.readouterr().err.split())
    assert "Authentication needed" in printed
    assert "401" not in printed
    assert "DARKROOM_API_KEY" in printed


async def test_with_a_wrong_key_the_command_ends_with_the_status_of_a_missing_one(
    live_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_API_KEY", "dk_" + "0" * 43)
    assert await run(live_url, "albums") == NO_KEY
    printed = " ".join(capsys.readouterr().err.split())
    assert "key" in printed
    assert "401" not in printed
    assert "0000" not in printed, "a key is not printed"


async def test_a_user_is_made_uses_the_key_and_is_deleted(
    live_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await run(live_url, "users", "add", "eva", "eva@example.org") == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("dk_")
    assert await run(live_url, "users", "list", "--json") == 0
    [user_id] = [user["id"] for user in json.loads(capsys.readouterr().out) if user["username"] == "eva"]

    monkeypatch.setenv("DARKROOM_API_KEY", key)
    (tmp_path / "cat.png").write_bytes(encoded(an_image(), "PNG"))
    made = tmp_path / "made.jpg"
    assert await run(live_url, "style", str(tmp_path / "cat.png"), "ink", "-o", str(made)) == 0
    assert made.stat().st_size > 0
    capsys.readouterr()
    assert await run(live_url, "history", "--json") == 0
    [own] = json.loads(capsys.readouterr().out)
    assert await run(live_url, "history", "--user", user_id, "--json") == 0
    [seen] = json.loads(capsys.readouterr().out)
    assert seen["id"] == own["id"]
    assert await run(live_url, "history") == 0
    assert await run(live_url, "users", "list") == 0
    printed = capsys.readouterr().out
    assert "succeeded" in printed
    assert "eva@example.org" in printed

    assert await run(live_url, "users", "delete", user_id) == 0
    assert await run(live_url, "history") == NO_KEY
    assert await run(live_url, "users", "delete", user_id) == 1
    assert "There is no user" in capsys.readouterr().err


async def test_a_taken_name_is_one_clear_line(live_url: str, eva: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(live_url, "users", "add", "EVA", "other@example.org") == 1
    assert "This user name is taken" in capsys.readouterr().err


async def test_history_reads_on_to_the_limit(
    live_url: str, eva: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_API_KEY", eva.key)
    body = {"image_url": "img_0000000000", "style_name": "ink"}
    for _ in range(3):
        await eva.client.post("/api/v1/style", json=body)
    assert await run(live_url, "history", "--limit", "2", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert await run(live_url, "history", "--kind", "avatar", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
