"""Immich's machine learning: who is let in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from configs.settings import Immich, Settings
from serve_app.services.container import Services
from tests.api.conftest import assert_problem
from tests.api.immich.asking import RED, TEXTUAL, VISUAL, asking, predict
from tests.support.accounts import a_client, bearer, with_keys


class TestWhoIsLetIn:
    """By the address alone, since Immich's server can send no key."""

    async def test_it_is_shut_until_it_is_switched_on(self, services: Services, settings: Settings) -> None:
        async with asking(services, settings.model_copy(update={"immich": Immich()})) as client:
            assert_problem(await client.get("/ping"), 404, "not-found")
            assert_problem(await predict(client, VISUAL, RED), 404, "not-found")

    async def test_with_keys_a_server_that_does_not_serve_immich_asks_for_one_there_too(
        self, services: Services, settings: Settings
    ) -> None:
        keyed = with_keys(settings).model_copy(update={"immich": Immich()})
        async with asking(services, keyed) as client:
            assert_problem(await client.get("/ping"), 401, "unauthenticated")
            assert_problem(await predict(client, VISUAL, RED), 401, "unauthenticated")

    @pytest.mark.parametrize("has_keys", [False, True])
    @pytest.mark.parametrize(
        ("networks", "address", "is_let_in"),
        [
            (("127.0.0.0/8",), "127.0.0.1", True),
            (("127.0.0.0/8",), "172.18.0.5", False),
            (("172.16.0.0/12",), "172.18.0.5", True),
            (("172.16.0.0/12",), "127.0.0.1", False),
            (("172.16.0.0/12",), "::ffff:172.18.0.5", True),
            (("fd00::/8",), "fd12::1", True),
            (("fd00::/8",), "2001:db8::1", False),
            (("192.0.2.7",), "192.0.2.7", True),
            (("192.0.2.7",), "192.0.2.8", False),
            ((), "127.0.0.1", False),
            (("0.0.0.0/0",), "no address", False),
        ],
    )
    async def test_only_callers_from_the_networks_are_let_in(
        self,
        services: Services,
        settings: Settings,
        networks: tuple[str, ...],
        address: str,
        is_let_in: bool,
        has_keys: bool,
    ) -> None:
        allowed = Immich.model_validate({"enabled": True, "allow_from": networks})
        chosen = (with_keys(settings) if has_keys else settings).model_copy(update={"immich": allowed})
        async with asking(services, chosen, address=address) as client:
            answers = [await client.get("/ping"), await predict(client, VISUAL, RED)]
        for answer in answers:
            if is_let_in:
                assert answer.status_code == 200
            else:
                assert_problem(answer, 403, "forbidden")

    async def test_what_a_caller_says_of_its_address_is_not_heard(self, services: Services, settings: Settings) -> None:
        headers = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
        async with asking(services, settings, address="203.0.113.9") as client:
            assert_problem(await client.get("/ping", headers=headers), 403, "forbidden")

    async def test_a_key_lets_nobody_in_from_elsewhere(self, services: Services, settings: Settings) -> None:
        keyed = with_keys(settings)
        _, key = await services.users.create("eva", "eva@example.org")
        async with asking(services, keyed, address="203.0.113.9") as client:
            assert_problem(await client.get("/ping", headers=bearer(key)), 403, "forbidden")

    async def test_the_body_of_a_stranger_is_not_read(self, services: Services, settings: Settings) -> None:
        read = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            read = True
            yield b"x"

        async with asking(services, settings, address="203.0.113.9") as client:
            headers = {"content-type": "multipart/form-data; boundary=x"}
            assert_problem(await client.post("/predict", content=body(), headers=headers), 403, "forbidden")
        assert not read

    async def test_no_other_path_is_opened_by_the_network(self, services: Services, settings: Settings) -> None:
        async with asking(services, with_keys(settings)) as client:
            for path in ("/api/v1/history", "/ping/", "/predict/x", "/x/predict", "/sdapi/v1/progress"):
                assert (await client.get(path)).status_code == 401, path

    async def test_a_foreign_page_and_a_foreign_host_are_refused_as_everywhere(
        self, idle_client: httpx.AsyncClient
    ) -> None:
        for headers, status in (({"origin": "https://evil.example"}, 403), ({"host": "evil.example"}, 421)):
            sent = {"entries": json.dumps(TEXTUAL), "text": "red"}
            assert_problem(await idle_client.post("/predict", data=sent, headers=headers), status)

    async def test_it_is_in_no_openapi_document(self, app: FastAPI) -> None:
        async with a_client(app) as client:
            for document in ("/openapi.json", "/openapi/sdapi.json"):
                assert not {"/ping", "/predict"} & set((await client.get(document)).json()["paths"])
