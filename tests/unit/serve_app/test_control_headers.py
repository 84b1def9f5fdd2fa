"""Serve's control headers: what arrives behind the middleware that Serve's own HTTP servers load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from ray.serve._private import http_util
from ray.serve.config import HTTPOptions
from starlette.types import Receive, Scope, Send

from configs.settings import Settings
from serve_app import local_ray
from serve_app.control_headers import SETTING
from tests.support.container_files import variables

Headers = list[tuple[bytes, bytes]]


@pytest.fixture
def middlewares(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """As Serve's proxy reads them from the variable."""
    [(name, path)] = SETTING.items()
    monkeypatch.setattr(http_util, name, path)
    return list(http_util.configure_http_middlewares(HTTPOptions()).middlewares)


async def _pass(middlewares: list[Any], headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], Headers]:
    """Pass a request through Serve's stack of middlewares. -> headers of the request behind it, and of the answer"""
    seen: dict[bytes, bytes] = {}
    answered: Headers = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        answered.extend(message["headers"])

    async def receive() -> Any:
        raise AssertionError

    stack = http_util._apply_middlewares(proxy, middlewares)
    await stack({"type": "http", "headers": list(headers)}, receive, send)
    return seen, answered


@pytest.mark.parametrize(
    "name",
    [
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
        b"x-session-id",
        b"x_session_id",
        b"x-serve-router-replica",
    ],
)
@pytest.mark.parametrize("value", [b"0.001", b"?1", b"\xff\xfe"])
async def test_an_order_to_serve_does_not_reach_its_proxy(middlewares: list[Any], name: bytes, value: bytes) -> None:
    seen, _ = await _pass(middlewares, [(b"host", b"localhost"), (name, value)])
    assert set(seen) == {b"host", b"x-request-id"}
    assert http_util.parse_request_timeout_header(seen, 660.0) == 660.0
    assert not http_util.parse_disconnect_disabled_header(seen)
    assert http_util.parse_session_id_header(seen) == ""


@pytest.mark.parametrize(
    "sent",
    [[b"\xff"], [b"\xc3\xa9"], [b"a" * 65], [b""], [b"a b"], [b"a", b"b"]],
    ids=["no UTF-8", "not ASCII", "long", "empty", "space", "two"],
)
async def test_a_request_id_that_serve_cannot_repeat_is_replaced(middlewares: list[Any], sent: list[bytes]) -> None:
    seen, answered = await _pass(middlewares, [(b"x-request-id", value) for value in sent])
    assert seen[b"x-request-id"] not in sent
    assert dict(answered) == {b"x-request-id": seen[b"x-request-id"]}


async def test_a_harmless_request_id_stays(middlewares: list[Any]) -> None:
    seen, answered = await _pass(middlewares, [(b"x-request-id", b"upload-7")])
    assert seen[b"x-request-id"] == b"upload-7"
    assert dict(answered)[b"x-request-id"] == b"upload-7"


async def test_a_trace_of_other_than_ascii_is_dropped(middlewares: list[Any]) -> None:
    good = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    seen, _ = await _pass(middlewares, [good, (b"tracestate", b"\xff")])
    assert seen.keys() & {b"traceparent", b"tracestate"} == {b"traceparent"}


def test_a_local_ray_and_the_image_load_the_middleware() -> None:
    assert local_ray.variables(Settings()).items() >= SETTING.items()
    assert (variables("python") | variables("server")).items() >= SETTING.items()
