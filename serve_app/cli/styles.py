"""`darkroom style` and `darkroom styles`."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from serve_app.cli import tables
from serve_app.cli.client import Client, CommandError, result_of

_JPEG = frozenset({".jpg", ".jpeg"})


def add_commands(commands: Any) -> list[argparse.ArgumentParser]:
    """Those that can print JSON."""
    style = commands.add_parser("style", help="make a picture in a style, and write it to a file")
    style.add_argument("picture", help="a file, or a URL that the server may fetch")
    style.add_argument("style", help="one of those that `darkroom styles` lists")
    style.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write it (default: PICTURE-STYLE.jpg, here)"
    )
    style.add_argument("--prompt", help="instead of the one that is written from the picture")
    style.add_argument("--strength", type=float, help="how far from the photograph, 0 to 1")
    style.add_argument("--seed", type=int, help="the same one makes the same picture again")
    style.add_argument("--engine", help="this one only")
    style.set_defaults(run=_style)

    styles = commands.add_parser("styles", help="list the styles")
    styles.set_defaults(run=_styles)
    return [style, styles]


def _style(client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    output = arguments.output or Path(f"{_stem(arguments.picture)}-{arguments.style}.jpg")
    if output.suffix.lower() not in {*_JPEG, *PillowImage.registered_extensions()}:
        raise CommandError(f"{output}: pictures of this kind cannot be written; name it .jpg or .png.")
    asked = {"image_url": _reference(client, arguments.picture), "style_name": arguments.style}
    options = {name: getattr(arguments, name) for name in ("prompt", "strength", "seed", "engine")}
    asked |= {name: value for name, value in options.items() if value is not None}
    columns = (TextColumn("{task.description:<11}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task(arguments.style, total=1.0)
        job = client.json("POST", "/style", json=asked, headers={"Prefer": "respond-async"})
        ended = client.finished(job["id"], lambda seen: progress.update(bar, completed=seen["progress"]))
    answer = result_of(ended)
    key = answer["image_url"].rsplit("/", 1)[1]
    _write(output, client.call("GET", f"/files/{key}", follow_redirects=True).content)  # to an object store, maybe
    if arguments.json:
        return answer | {"file": str(output)}
    for warning in answer.get("warnings", []):
        err.print(f"[yellow]darkroom:[/] {warning}", highlight=False)
    err.print(f"By {answer['engine']}, seed {answer['seed']}:", highlight=False)
    sys.stdout.write(f"{output}\n")
    return None


def _styles(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    listed = client.json("GET", "/styles")["styles"]
    if arguments.json:
        return listed
    tables.styles(Console(), listed)
    return None


def _reference(client: Client, picture: str) -> str:
    """The picture as the server knows it: a URL as it stands, a file uploaded."""
    if "://" in picture:
        return picture
    path = Path(picture)
    if not path.is_file():
        raise CommandError(f"{picture} is not a file.")
    stored, rejected = client.upload([path], lambda _: None)
    if not stored:
        raise CommandError(f"{picture} cannot be used: {rejected[0]['detail']}")
    return next(iter(stored))


def _stem(picture: str) -> str:
    return Path(picture.partition("?")[0]).stem or "picture"


def _write(output: Path, jpeg: bytes) -> None:
    try:
        if output.suffix.lower() in _JPEG:
            output.write_bytes(jpeg)
        else:
            PillowImage.open(io.BytesIO(jpeg)).save(output)
    except (OSError, ValueError) as error:
        raise CommandError(f"{output} cannot be written: {error}") from None
