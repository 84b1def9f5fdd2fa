"""A fuzzer that believes the OpenAPI document: no 5xx, no undocumented status, header or shape."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from configs.settings import Settings
from tests.support.accounts import Account, with_keys
from tests.support.fuzzer import fuzz
from tests.support.openapi import WEBUI_DOCUMENT

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


OURS = "/openapi.json"
WEB_UI_CHECKS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
"""Of the Stable Diffusion web API: it answers 500 to what it does not understand and takes text for numbers, because
that is what its clients know."""
SHORT_WAIT = "Prefer: wait=1"


async def test_a_fuzzer_finds_no_5xx_and_nothing_undocumented(live_url: str, tmp_path: Path) -> None:
    await _fuzz(live_url, tmp_path, OURS, CHECKS, 5, "examples,coverage,fuzzing", SHORT_WAIT)


async def test_a_fuzzer_finds_nothing_undocumented_in_the_web_api(live_url: str, tmp_path: Path) -> None:
    await _fuzz(live_url, tmp_path, WEBUI_DOCUMENT, WEB_UI_CHECKS, 4, "fuzzing")


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        keyed = with_keys(settings)  # the fuzzer sends hundreds of wrong ones: their limit is another test's
        return keyed.model_copy(update={"auth": keyed.auth.model_copy(update={"wrong_keys": 10**6})})

    async def test_a_fuzzer_finds_no_way_past_the_key(self, live_url: str, eva: Account, tmp_path: Path) -> None:
        headers = (SHORT_WAIT, f"Authorization: Bearer {eva.key}")
        checks = ("not_a_server_error", "status_code_conformance", "response_schema_conformance", "ignored_auth")
        await _fuzz(live_url, tmp_path / "ours", OURS, checks, 3, "fuzzing", *headers)
        await _fuzz(live_url, tmp_path / "web", WEBUI_DOCUMENT, ("ignored_auth",), 2, "fuzzing", *headers)


async def _fuzz(
    url: str, folder: Path, document: str, checks: tuple[str, ...], examples: int, phases: str, *headers: str
) -> None:
    options = ["--checks", ",".join(checks), "--max-examples", str(examples), "--phases", phases]
    await fuzz(url + document, folder, *options, *(word for header in headers for word in ("--header", header)))


@pytest.mark.parametrize("address", ["/docs", "/docs/sdapi"])
async def test_the_documentation_pages_need_no_other_server(idle_client: httpx.AsyncClient, address: str) -> None:
    page = (await idle_client.get(address)).text
    assert "https://" not in page
    [script] = re.findall(r'<script src="([^"]+)"', page)
    assert (await idle_client.get(script)).status_code == 200
