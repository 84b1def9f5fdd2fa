"""The commands `darkroom avatar`, `darkroom animals` and `darkroom segment`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from serve_app.cli import tables
from serve_app.cli.client import Client
from serve_app.cli.pictures import check_writable, print_warnings, save, sent, stem_of, wait_for_picture

_OPTIONS = ("mode", "prompt", "strength", "seed", "engine")


def add_commands(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands' parsers. -> those that can print JSON"""
    avatar = commands.add_parser("avatar", help="make the people of a picture animals, and write it to a file")
    avatar.add_argument("picture", help="a file, or a URL that the server may fetch")
    avatar.add_argument("--animal", default="fox", help="one of those that `darkroom animals` lists (default: fox)")
    avatar.add_argument("--mode", choices=("overlay", "character"), help="features on the face, or a whole head")
    avatar.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="where to write it (default: PICTURE-ANIMAL.jpg, here)"
    )
    avatar.add_argument("--prompt", help="what an image model is told, instead of the animal's own")
    avatar.add_argument("--strength", type=float, help="how far from the photograph, 0 to 1")
    avatar.add_argument("--seed", type=int, help="the same one makes the same picture again")
    avatar.add_argument("--engine", help="this one only")
    avatar.set_defaults(run=_avatar)

    animals = commands.add_parser("animals", help="list the animals")
    animals.set_defaults(run=_animals)

    segment = commands.add_parser("segment", help="cut faces or people out of a picture, and write them to a file")
    segment.add_argument("picture", help="a file, or a URL that the server may fetch")
    segment.add_argument("--target", choices=("face", "person"), default="face", help="(default: %(default)s)")
    segment.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="where to write it (default: PICTURE-TARGET.png, here)"
    )
    segment.add_argument("--mask", type=Path, metavar="FILE", help="write the mask too")
    segment.add_argument("--engine", help="this one only")
    segment.set_defaults(run=_segment)
    return [avatar, animals, segment]


def _avatar(client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    output = arguments.out or Path(f"{stem_of(arguments.picture)}-{arguments.animal}.jpg")
    check_writable(output)
    options = {name: getattr(arguments, name) for name in _OPTIONS}
    asked = {"animal": arguments.animal} | {name: value for name, value in options.items() if value is not None}
    answer = wait_for_picture(client, err, arguments.animal, "/avatars", **sent(arguments.picture, asked))
    save(client, answer["image_url"], output)
    if arguments.json:
        return answer | {"file": str(output)}
    print_warnings(err, answer)
    faces = len(answer["faces"])
    told = f"{faces} {'face' if faces == 1 else 'faces'} by {answer['engine']}, seed {answer['seed']}:"
    err.print(told, highlight=False)
    sys.stdout.write(f"{output}\n")
    return None


def _animals(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    listed = client.json("GET", "/animals")["animals"]
    if arguments.json:
        return listed
    tables.animals(tables.console(), listed)
    return None


def _segment(client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    output = arguments.out or Path(f"{stem_of(arguments.picture)}-{arguments.target}.png")
    wanted = {"cutout_url": output} | ({"mask_url": arguments.mask} if arguments.mask else {})
    for file in wanted.values():
        check_writable(file)
    asked = {"target": arguments.target} | ({"engine": arguments.engine} if arguments.engine else {})
    answer = wait_for_picture(client, err, arguments.target, "/segmentations", **sent(arguments.picture, asked))
    for name, file in wanted.items():
        save(client, answer[name], file)
    if arguments.json:
        return answer | {"files": [str(file) for file in wanted.values()]}
    print_warnings(err, answer)
    tables.faces(Console(stderr=True), answer["faces"])
    sys.stdout.writelines(f"{file}\n" for file in wanted.values())
    return None
