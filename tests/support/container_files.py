"""Readers of the Dockerfile and the compose files."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from configs.settings import Settings

ROOT = Path(__file__).parents[2]


@cache
def instructions() -> tuple[tuple[str, str], ...]:
    """Read the Dockerfile's instructions and their arguments, continued lines joined and comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return tuple((line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip())


def last(instruction: str) -> str:
    return [arguments for name, arguments in instructions() if name == instruction][-1]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Map the names of stages to their instructions, FROM first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, arguments in instructions():
        if name == "FROM":
            found[arguments.split(" AS ")[1]] = []
        if found:
            found[list(found)[-1]].append((name, arguments))
    return found


def variables(stage: str) -> dict[str, str]:
    """Read the ENV of a stage."""
    return dict(
        pair.split("=", 1) for name, arguments in stages()[stage] if name == "ENV" for pair in shlex.split(arguments)
    )


def health_check() -> list[str]:
    return list(json.loads(last("HEALTHCHECK").split("CMD ")[1]))


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return loaded


def is_setting(variable: str) -> bool:
    """Whether a `DARKROOM_` variable is one that `Settings` reads; others are ignored silently."""
    fields: Any = Settings
    for part in variable.removeprefix("DARKROOM_").lower().split("__"):
        if part not in getattr(fields, "model_fields", {}):
            return False
        fields = fields.model_fields[part].annotation
    return True
