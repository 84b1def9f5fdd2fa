"""Examples in the OpenAPI document: a schema's own, else put together from those of its fields."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

Schema = dict[str, Any]


class NoExample(LookupError):
    """A field without an example; the message names it."""


@cache
def load_examples() -> dict[str, dict[str, Any]]:
    """Load `examples.toml`: `fields` by name, `bodies` by schema, `answers` by operation id."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def example_of(schema: Schema, components: dict[str, Schema], name: str = "") -> Any:
    """Make an example of a schema: its own, else that of a field of this name, else one of its parts.

    `components`: the schemas of the document. `name`: of the field, or the path to it. Raises `NoExample`.
    """
    if "$ref" in schema:
        title = schema["$ref"].rpartition("/")[2]
        return example_of(components[title], components, name or title)
    if "example" in schema:
        return _with_nulls(schema["example"], schema)
    if "examples" in schema:
        return schema["examples"][0]
    if {"type": "null"} in schema.get("anyOf", ()):
        return load_examples()["fields"].get(name)  # null, unless somebody wrote one for just this field
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], components, name)
    if "properties" in schema:
        title, required = schema.get("title", name), schema.get("required", ())
        made = {key: example_of(one, components, f"{title}.{key}") for key, one in schema["properties"].items()}
        return {key: value for key, value in made.items() if value is not None or key in required}
    if "$ref" in schema.get("items", {}):
        return [example_of(schema["items"], components)]
    fields, field = load_examples()["fields"], name.rpartition(".")[2]
    for key in (name, field):
        if key in fields:
            return fields[key]
    return _plain(schema, components, name)


def _with_nulls(example: Any, schema: Schema) -> Any:
    """Put back the nulls that FastAPI takes out of the examples of models."""
    if not isinstance(example, dict):
        return example
    return {name: None for name in schema.get("required", []) if name not in example} | example


def _plain(schema: Schema, components: dict[str, Schema], name: str) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array" and "prefixItems" in schema:
        return [example_of(one, components, name) for one in schema["prefixItems"]]
    if schema.get("type") == "array":
        return [example_of(schema["items"], components, name)]
    if schema.get("format") == "date-time":
        return "2026-03-01T12:00:00Z"
    if "default" in schema:
        return schema["default"]
    raise NoExample(
        f"{name} has no example: give the field `examples`, or its name a line in serve_app/api/examples.toml"
    )
