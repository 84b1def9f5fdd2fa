"""Options and arguments that several commands share, and how they print."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated, Any, cast

import typer
from pydantic import BaseModel
from rich.console import Console

from darkroom_client.cli.config import State


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"


Json = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
Output = Annotated[Format | None, typer.Option("--output", help="how to print (default: table)")]
Album = Annotated[str, typer.Argument(metavar="ALBUM", help="one of those that `darkroom albums` lists")]
Picture = Annotated[str, typer.Argument(metavar="PICTURE", help="a file, or a URL that the server may fetch")]


def state(context: typer.Context) -> State:
    """What the command works with."""
    return cast(State, context.obj)


def err() -> Console:
    """Open the console for what is not the answer."""
    return Console(stderr=True)


def plain(answer: Any) -> Any:
    """Make JSON of an answer, as the server sent it."""
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json", exclude_unset=True)
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items()}
    return [plain(one) for one in answer] if isinstance(answer, list) else answer


def print_json(answer: Any) -> None:
    """Print an answer as JSON."""
    sys.stdout.write(json.dumps(plain(answer), indent=1, ensure_ascii=False) + "\n")
