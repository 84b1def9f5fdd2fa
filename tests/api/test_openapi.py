"""A fuzzer that believes the OpenAPI document: no 5xx, no undocumented status, header or shape."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import httpx

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


async def test_a_fuzzer_finds_no_5xx_and_nothing_undocumented(live_url: str, tmp_path: Path) -> None:
    command = (
        *(str(Path(sys.executable).with_name("st")), "run", f"{live_url}/openapi.json", "--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "7", "--no-color"),
        *("--continue-on-failure", "--request-timeout", "30", "--suppress-health-check", "all", "--warnings", "off"),
        *("--header", "Prefer: wait=1"),
    )
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]


async def test_the_documentation_pages_need_no_other_server(idle_client: httpx.AsyncClient) -> None:
    page = (await idle_client.get("/docs")).text
    assert "https://" not in page
    [script] = re.findall(r'<script src="([^"]+)"', page)
    assert (await idle_client.get(script)).status_code == 200
