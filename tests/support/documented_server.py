"""A server made of an OpenAPI document: it refuses what the document does not allow, and answers with its examples."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import httpx2
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.support.openapi import operations


class DocumentedServer:
    """Handler of an `httpx2.MockTransport`; `called` holds the ids of the operations that were asked for."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._operations = [
            (re.compile(re.sub(r"\{[^}]+\}", "([^/]+)", path)), method.upper(), operation)
            for path, method, operation in operations(document)
        ]
        self._registry: Any = Registry().with_resource("urn:document", Resource.opaque(document))
        self.called: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        fitting = [
            (pattern, operation)
            for pattern, method, operation in self._operations
            if method == request.method and pattern.fullmatch(path)
        ]
        assert fitting, f"the document has no {request.method} {path}"
        operation = min(fitting, key=lambda entry: entry[0].groups)[1]
        self.called.append(operation["operationId"])
        self._check_query(request, operation)
        self._check_body(request, operation)
        return _answer(operation)

    def _check_query(self, request: httpx2.Request, operation: dict[str, Any]) -> None:
        known = {one["name"]: one for one in operation.get("parameters", ()) if one["in"] == "query"}
        sent = dict(request.url.params.multi_items())
        assert sent.keys() <= known.keys(), f"{operation['operationId']} has no {sent.keys() - known.keys()}"
        assert {name for name, one in known.items() if one.get("required")} <= sent.keys()
        for name, value in sent.items():
            self._check(known[name]["schema"], _parsed(unquote(value)), name)

    def _check_body(self, request: httpx2.Request, operation: dict[str, Any]) -> None:
        kinds = operation.get("requestBody", {}).get("content", {})
        kind = request.headers.get("content-type", "").partition(";")[0]
        assert kind in kinds or (not kind and not kinds), f"{operation['operationId']} takes no {kind}"
        if kind == "application/json":
            self._check(kinds[kind]["schema"], json.loads(request.content), "body")

    def _check(self, schema: dict[str, Any], value: Any, what: str) -> None:
        absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
        errors = [error.message for error in Draft202012Validator(absolute, registry=self._registry).iter_errors(value)]
        assert not errors, f"{what}: {errors}"


def _parsed(value: str) -> Any:
    return json.loads(value) if re.fullmatch(r"-?\d+(\.\d+)?|true|false", value) else value


def _answer(operation: dict[str, Any]) -> httpx2.Response:
    """Answer with the example of the first status that is a success."""
    status, response = next(entry for entry in operation["responses"].items() if entry[0] < "300")
    for kind, content in response.get("content", {}).items():
        if "json" in kind:
            return httpx2.Response(int(status), json=content["example"])
        return httpx2.Response(int(status), text=content.get("example", "bytes"), headers={"Content-Type": kind})
    return httpx2.Response(int(status))
