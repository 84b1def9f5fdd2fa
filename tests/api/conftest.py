"""The HTTP application over a real database and real storage, with predictable capabilities and no Ray."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI

from configs.settings import Events, Fetch, Jobs, Limits, Settings
from configs.styles import Style, StyleControl, StyleLora
from deployments.assets.animals import Animal
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.store.session import Database
from serve_app.telemetry import Metrics, configure_logging
from tests.support.accounts import ADMIN_KEY, BASE, Account, a_client, an_account
from tests.support.fake_portraits import an_animal
from tests.support.fakes import FakeCapabilities
from tests.support.styles import a_style

if TYPE_CHECKING:
    from deployments.bundle import Bundle


@pytest.fixture
def capabilities() -> FakeCapabilities:
    return FakeCapabilities()


@pytest.fixture(scope="session")
def engines() -> Bundle:
    """The real engines, opened once; a file that wants them has them as its `capabilities`."""
    from deployments.bundle import Bundle  # two seconds of imports that most of these tests do without

    return Bundle(Settings())


@pytest.fixture
def settings(tmp_path: Path, postgres: str, database: Database) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=postgres,
        limits=Limits(max_file_bytes=2**20, max_pixels=4_000_000, max_images=20, max_json_bytes=2**20),
        jobs=Jobs(poll_s=0.2, max_queued=20, sync_wait_s=20),
        fetch=Fetch(allowed_networks=("127.0.0.0/8",), timeout_s=5),
        events=Events(allowed_networks=("127.0.0.0/8",)),
        log_level="ERROR",
    )


@pytest.fixture
def styles() -> Mapping[str, Style]:
    """`ink`, all of which is installed, and `bare`, whose LoRA and ControlNet are not."""
    lacking = {"loras": (StyleLora(name="nowhere"),), "controls": (StyleControl(module="depth_midas", model="depth"),)}
    return {style.name: style for style in (a_style("bare", **lacking), a_style("ink"))}


@pytest.fixture
def animals() -> Mapping[str, Animal]:
    """`cat` and `fox`, and `bear`, which nobody has drawn."""
    return {animal.name: animal for animal in (an_animal("bear"), an_animal("cat"), an_animal("fox"))}


@pytest_asyncio.fixture()
async def services(
    settings: Settings, capabilities: FakeCapabilities, styles: Mapping[str, Style], animals: Mapping[str, Animal]
) -> AsyncIterator[Services]:
    configure_logging(settings)
    services = await Services.open(settings, capabilities, Metrics("test"), name="test", styles=styles, animals=animals)
    try:
        yield services
    finally:
        await services.close()


@pytest_asyncio.fixture()
async def worker(services: Services, settings: Settings) -> AsyncIterator[JobRunner]:
    """Runs the jobs."""
    runner = JobRunner(services, settings.jobs)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        await runner.stop()
        await asyncio.wait_for(task, 20)


@pytest_asyncio.fixture()
async def idle_client(services: Services, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server without a worker: jobs stay queued."""
    app = build_app(services, settings, Metrics("ingress"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60) as client:
        yield client


@pytest_asyncio.fixture()
async def client(idle_client: httpx.AsyncClient, worker: JobRunner) -> httpx.AsyncClient:
    return idle_client


@pytest_asyncio.fixture()
async def live_url(services: Services, settings: Settings, worker: JobRunner) -> AsyncIterator[str]:
    """A real HTTP server on the loopback interface."""
    async with serving(build_app(services, settings, Metrics("ingress"))) as url:
        yield url


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve the application on a free port of the loopback interface."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(serving, 20)


@pytest_asyncio.fixture()
async def app(services: Services, settings: Settings) -> FastAPI:
    """The application by itself, for clients with different keys."""
    return build_app(services, settings, Metrics("ingress"))


@pytest_asyncio.fixture()
async def nobody(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with a_client(app) as client:
        yield client


@pytest_asyncio.fixture()
async def admin(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with a_client(app, ADMIN_KEY) as client:
        yield client


@pytest_asyncio.fixture()
async def eva(services: Services, app: FastAPI) -> AsyncIterator[Account]:
    async with an_account(services, app, "eva") as account:
        yield account


@pytest_asyncio.fixture()
async def bob(services: Services, app: FastAPI) -> AsyncIterator[Account]:
    async with an_account(services, app, "bob") as account:
        yield account


async def upload(client: httpx.AsyncClient, *pictures: bytes) -> list[str]:
    """Store pictures. -> their urls"""
    files = [("file", (f"{place}.png", data)) for place, data in enumerate(pictures)]
    response = await client.post("/api/v1/images", files=files)
    assert response.status_code == 201, response.text
    return [image["url"] for image in response.json()["images"]]


async def embed(client: httpx.AsyncClient, album: str, refs: list[str]) -> dict[str, Any]:
    response = await client.post("/api/v1/albums/embeddings", json={"images": refs, "album_id": album})
    assert response.status_code == 201, response.text
    return dict(response.json())


def assert_problem(response: httpx.Response, status: int, slug: str | None = None) -> dict[str, Any]:
    """The answer is a problem document of this status (and type)."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(body)
    assert body["status"] == status
    assert body["instance"] == f"urn:request:{response.headers['x-request-id']}"
    assert (
        "/" not in body["detail"].replace("application/json", "").replace("multipart/form-data", "")
        or slug != "internal-error"
    )
    if slug:
        assert body["type"] == f"/problems/{slug}"
    return body
