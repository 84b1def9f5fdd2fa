"""Serve's control headers, sent to a real server: neither obeyed nor a reason to fail."""

from __future__ import annotations

import httpx
import pytest

from bench.server import Server


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Request-Timeout-Seconds", b"0.000001"),
        ("X-Request-Timeout-Seconds", b"\xff"),
        ("X-Request-Disconnect-Disabled", b"\xff"),
        ("serve_multiplexed_model_id", b"\xff"),
        ("X-Session-Id", b"\xff"),
        ("X-Request-Id", b"\xff"),
    ],
)
def test_a_control_header_of_a_client_changes_nothing(server: Server, name: str, value: bytes) -> None:
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        answer = client.get("/api/v1/albums", headers=[(name.encode(), value)])
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-request-id"].isascii()
