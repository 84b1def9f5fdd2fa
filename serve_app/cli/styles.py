"""The commands `darkroom style` and `darkroom styles`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from serve_app.cli import tables
from serve_app.cli.client import Client, CommandError
from serve_app.cli.pictures import check_writable, existing, print_warnings, save, stem_of, wait_for_picture


def add_commands(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands' parsers. -> those that can print JSON"""
    style = commands.add_parser("style", help="make a picture in a style, and write it to a file")
    style.add_argument("picture", help="a file, or a URL that the server may fetch")
    style.add_argument("style", help="one of those that `darkroom styles` lists")
    style.add_argument(
        "-o",
        "--out",
        "--output",
        dest="out",
        type=Path,
        metavar="FILE",
        help="where to write it (default: PICTURE-STYLE.jpg, here)",
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
    output = arguments.out or Path(f"{stem_of(arguments.picture)}-{arguments.style.lower()}.jpg")
    check_writable(output)
    asked = {"image_url": _reference(client, arguments.picture), "style_name": arguments.style}
    options = {name: getattr(arguments, name) for name in ("prompt", "strength", "seed", "engine")}
    asked |= {name: value for name, value in options.items() if value is not None}
    answer = wait_for_picture(client, err, arguments.style, "/style", json=asked)
    save(client, answer["image_url"], output)
    if arguments.json:
        return answer | {"file": str(output)}
    print_warnings(err, answer)
    err.print(f"By {answer['engine']}, seed {answer['seed']}:", highlight=False)
    sys.stdout.write(f"{output}\n")
    return None


def _reference(client: Client, picture: str) -> str:
    """Reference of an input image: a URL as it stands, a file once it is uploaded."""
    if "://" in picture:
        return picture
    stored, rejected = client.upload([existing(picture)], lambda _: None)
    if not stored:
        raise CommandError(f"{picture} cannot be used: {rejected[0]['detail']}")
    return next(iter(stored))


def _styles(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    listed = client.json("GET", "/styles")["styles"]
    if arguments.json:
        return listed
    tables.styles(tables.console(), listed)
    return None
