"""A fuzzer that believes the OpenAPI document: no 5xx, no undocumented status, header or shape."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest_asyncio
import uvicorn

from configs.settings import Settings
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.telemetry import Metrics

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


@pytest_asyncio.fixture()
async def live_url(services: Services, settings: Settings, worker: JobRunner) -> AsyncIterator[str]:
    """A real HTTP server on the loopback interface."""
    app = build_app(services, settings, Metrics("ingress"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(serving, 20)


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
