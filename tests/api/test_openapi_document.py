"""The OpenAPI documents as people and generators of clients read them; holds for every route, those to come too."""

from __future__ import annotations

from itertools import chain
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from configs.settings import Settings
from serve_app.api.app import build_app
from serve_app.api.examples import NoExample, example_of
from serve_app.services.container import Services
from serve_app.telemetry import Metrics
from tests.support.accounts import with_keys
from tests.support.openapi import WEBUI_DOCUMENT, documents, operations

LONGEST_SUMMARY = 110
Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture
def every_operation(app: FastAPI) -> list[Operation]:
    return list(chain.from_iterable(map(operations, documents(app))))


def functions(router: Any) -> set[str]:
    """Names of the functions behind the routes that are documented."""
    found: set[str] = set()
    for route in router.routes:
        if (included := getattr(route, "original_router", None)) is not None:
            found |= functions(included)
        elif isinstance(route, APIRoute) and route.include_in_schema:
            found.add(route.endpoint.__name__)
    return found


def contents(operation: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Body and answers of an operation: what it is, its media type, its entry. Pictures are left out."""
    sent = [("body", kind, one) for kind, one in operation.get("requestBody", {}).get("content", {}).items()]
    answers = [
        (status, kind, one)
        for status, response in operation["responses"].items()
        for kind, one in response.get("content", {}).items()
    ]
    return [entry for entry in (*sent, *answers) if not entry[1].startswith("image/")]


def test_an_operation_is_named_as_its_function(app: FastAPI, every_operation: list[Operation]) -> None:
    named = [operation["operationId"] for _, _, operation in every_operation]
    assert len(named) == len(set(named)), "two operations of one name"
    assert set(named) == functions(app)


def test_an_operation_has_a_summary_in_words_and_a_description(every_operation: list[Operation]) -> None:
    for path, method, operation in every_operation:
        where = f"{method} {path}: give the function a docstring whose first sentence says what the route does"
        assert operation.get("description"), where
        assert 0 < len(operation["summary"]) <= LONGEST_SUMMARY, where
        assert operation["summary"] != operation["operationId"].replace("_", " ").title(), where
        assert " " in operation["summary"], where


def test_every_tag_is_explained_and_none_is_without_operations(app: FastAPI) -> None:
    for document in documents(app):
        used = [tuple(operation.get("tags", ())) for _, _, operation in operations(document)]
        explained = [tag["name"] for tag in document["tags"]]
        assert {len(tags) for tags in used} == {1}, "one tag an operation"
        assert {tags[0] for tags in used} == set(explained), "serve_app/api/tags.py explains each tag"
        assert all(len(tag["description"].split()) > 4 for tag in document["tags"])


def test_every_body_and_answer_has_an_example(every_operation: list[Operation]) -> None:
    for path, method, operation in every_operation:
        for what, kind, content in contents(operation):
            assert "example" in content, f"{method} {path} {what} {kind}"


def test_every_example_of_json_is_as_its_schema_says(app: FastAPI) -> None:
    for document in documents(app):
        registry = Registry().with_resource("urn:document", Resource.opaque(document))
        for path, method, operation in operations(document):
            for what, kind, content in contents(operation):
                if "json" not in kind:
                    continue
                schema = {"$ref": f"urn:document#{pointer(content['schema'])}"} if "$ref" in content["schema"] else None
                checked = Draft202012Validator(schema or inlined(content["schema"]), registry=registry)
                problems = [error.message for error in checked.iter_errors(content["example"])]
                assert not problems, f"{method} {path} {what}: {problems}"


def pointer(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).removeprefix("#")


def inlined(schema: Any) -> Any:
    """The schema with references that lead into the document from outside of it."""
    if isinstance(schema, dict):
        return {key: f"urn:document{value}" if key == "$ref" else inlined(value) for key, value in schema.items()}
    return [inlined(one) for one in schema] if isinstance(schema, list) else schema


def test_a_field_without_an_example_is_named() -> None:
    with pytest.raises(NoExample, match=r"Thing\.whatever"):
        example_of({"title": "Thing", "properties": {"whatever": {"type": "string"}}}, {})


def test_a_null_in_an_example_of_a_model_stays() -> None:
    nullable = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    schema = {"properties": {"a": nullable, "b": nullable}, "required": ["a", "b"], "example": {"a": "x"}}
    assert example_of(schema, {}) == {"a": "x", "b": None}


def test_the_documents_share_no_path(app: FastAPI) -> None:
    ours, webui = (set(document["paths"]) for document in documents(app))
    assert not ours & webui
    assert all(path.startswith(("/sdapi/", "/controlnet/", "/internal/")) for path in webui)


@pytest.mark.parametrize("has_keys", [True, False])
def test_authorize_is_offered_whether_keys_are_asked_for_or_not(
    services: Services, settings: Settings, has_keys: bool
) -> None:
    chosen = with_keys(settings) if has_keys else settings
    app = build_app(services, chosen, Metrics("ingress"))
    ours, webui = documents(app)
    assert set(ours["components"]["securitySchemes"]) == {"bearer"}
    assert set(webui["components"]["securitySchemes"]) == {"bearer", "basic"}
    without_key: list[dict[str, list[str]]] = [] if has_keys else [{}]
    assert ours["paths"]["/api/v1/albums"]["get"]["security"] == [*without_key, {"bearer": []}]
    assert "security" not in ours["paths"]["/healthz"]["get"]


async def test_the_address_of_the_server_leads_to_the_documentation(idle_client: httpx.AsyncClient) -> None:
    answer = await idle_client.get("/", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.url.path == "/docs"


async def test_each_document_says_where_the_other_is(idle_client: httpx.AsyncClient) -> None:
    ours = (await idle_client.get("/openapi.json")).json()["info"]["description"]
    webui = (await idle_client.get(WEBUI_DOCUMENT)).json()["info"]["description"]
    for described, link in ((ours, "/docs/sdapi"), (webui, "/docs")):
        assert f"({link})" in described
        assert (await idle_client.get(link)).status_code == 200


async def test_a_redirect_to_the_documentation_keeps_the_path_that_a_proxy_took_off(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app, root_path="/darkroom")
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get("/darkroom/")).headers["location"] == "/darkroom/docs"
