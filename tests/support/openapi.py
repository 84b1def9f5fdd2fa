"""Requests made of the OpenAPI document: every route with every method that it documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

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


def every_call(app: FastAPI) -> list[Call]:
    """List a request for each operation of the application's document, with a body where it takes one."""
    return [
        _call(path, method.upper(), operation)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]


def _call(path: str, method: str, operation: dict[str, Any]) -> Call:
    body = operation.get("requestBody", {}).get("content")
    url = re.sub(r"\{[^}]+\}", "x", path)
    if not body:
        return Call(method, url, None, {})
    if "application/json" in body:
        return Call(method, url, b"{}", {"Content-Type": "application/json"})
    return Call(method, url, b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})
