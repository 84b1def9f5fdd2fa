"""The OpenAPI documents, and requests made of them: every route with every method that they document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

WEBUI_DOCUMENT = "/openapi/sdapi.json"
"""Where the document of the Stable Diffusion web API is."""
ENDLESS = frozenset({"/api/v1/events", "/api/v1/albums/{album_id}/events"})
"""Paths whose answer to `GET` has no end, so that no test can wait for it."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Call:
    """A route and a method that the document lists."""

    method: str
    path: str
    """With `x` in place of each parameter."""
    content: bytes | None
    headers: dict[str, str]

    @property
    def is_safe(self) -> bool:
        return self.method in SAFE


def documents(app: FastAPI) -> list[dict[str, Any]]:
    """Make the application's documents: ours, and that of the Stable Diffusion web API."""
    return [app.openapi(), app.state.webui_openapi()]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """List the path, the method and the description of each operation of a document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def every_call(app: FastAPI) -> list[Call]:
    """List a request for each operation of the application's documents that ends, with a body where it takes one."""
    return [
        _call(path, method.upper(), operation)
        for document in documents(app)
        for path, method, operation in operations(document)
        if path not in ENDLESS
    ]


def _call(path: str, method: str, operation: dict[str, Any]) -> Call:
    body = operation.get("requestBody", {}).get("content")
    url = re.sub(r"\{[^}]+\}", "x", path)
    if not body:
        return Call(method, url, None, {})
    if "application/json" in body:
        return Call(method, url, b"{}", {"Content-Type": "application/json"})
    return Call(method, url, b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})
