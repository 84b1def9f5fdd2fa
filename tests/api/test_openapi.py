"""A fuzzer that believes the OpenAPI document: no 5xx, no undocumented status, header or shape."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import httpx
import pytest

from configs.settings import Settings
from tests.support.accounts import Account, with_keys

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


WEB_UI = "^/(sdapi|controlnet|internal)/"
WEB_UI_CHECKS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
"""Of the Stable Diffusion web API: it answers 500 to what it does not understand and takes text for numbers, because
that is what its clients know."""


async def test_a_fuzzer_finds_no_5xx_and_nothing_undocumented(live_url: str, tmp_path: Path) -> None:
    more = ("--phases", "examples,coverage,fuzzing", "--exclude-path-regex", WEB_UI, "--header", "Prefer: wait=1")
    await _fuzz(live_url, tmp_path, CHECKS, 12, *more)


async def test_a_fuzzer_finds_nothing_undocumented_in_the_web_api(live_url: str, tmp_path: Path) -> None:
    await _fuzz(live_url, tmp_path, WEB_UI_CHECKS, 6, "--phases", "fuzzing", "--include-path-regex", WEB_UI)


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_a_fuzzer_finds_no_way_past_the_key(self, live_url: str, eva: Account, tmp_path: Path) -> None:
        more = ("--phases", "fuzzing", "--header", "Prefer: wait=1", "--header", f"Authorization: Bearer {eva.key}")
        ours = ("not_a_server_error", "status_code_conformance", "response_schema_conformance", "ignored_auth")
        await _fuzz(live_url, tmp_path, ours, 3, *more, "--exclude-path-regex", WEB_UI)
        await _fuzz(live_url, tmp_path, ("ignored_auth",), 2, *more, "--include-path-regex", WEB_UI)


async def _fuzz(url: str, folder: Path, checks: tuple[str, ...], examples: int, *more: str) -> None:
    command = (
        *(str(Path(sys.executable).with_name("st")), "run", f"{url}/openapi.json", "--checks", ",".join(checks)),
        *("--max-examples", str(examples), "--seed", "7", "--no-color", "--workers", "4"),
        *("--continue-on-failure", "--request-timeout", "30", "--suppress-health-check", "all", "--warnings", "off"),
        *more,
    )
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]


async def test_the_documentation_pages_need_no_other_server(idle_client: httpx.AsyncClient) -> None:
    page = (await idle_client.get("/docs")).text
    assert "https://" not in page
    [script] = re.findall(r'<script src="([^"]+)"', page)
    assert (await idle_client.get(script)).status_code == 200
