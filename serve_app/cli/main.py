"""The command `darkroom`: parses arguments and prints answers as tables, or as JSON with `--json`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from serve_app.cli import database as database_commands
from serve_app.cli import portraits as portrait_commands
from serve_app.cli import ray as ray_commands
from serve_app.cli import styles as style_commands
from serve_app.cli import tables
from serve_app.cli import users as user_commands
from serve_app.cli.client import Client, CommandError, pictures_in, result_of
from serve_app.cli.large_albums import load_album, whole

_BATCH_IMAGES = 200
_KINDS = {"tags": "Tags", "duplicates": "Duplicates", "people": "People"}


def main(argv: list[str] | None = None) -> int:
    """Run one command. -> exit status"""
    arguments = _parser().parse_args(argv)
    err = Console(stderr=True)
    try:
        with Client(arguments.server, user_commands.key_for(arguments)) as client:
            answer = arguments.run(client, arguments, err)
    except CommandError as error:
        err.print(f"[red]darkroom:[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        err.print("darkroom: stopped; jobs that were started go on in the server")
        return 130
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=1, ensure_ascii=False) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="darkroom",
        description="Tags, duplicates and people of a picture album; pictures in a style, people as animals.",
        epilog="A server that asks for keys gets DARKROOM_API_KEY, for the commands about users DARKROOM_ADMIN_KEY.",
    )
    parser.add_argument(
        "--server",
        default=os.environ.get("DARKROOM_SERVER", f"http://127.0.0.1:{os.environ.get('DARKROOM_HTTP_PORT', '8000')}"),
        help="where Darkroom answers (default: %(default)s, or DARKROOM_SERVER)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    album = commands.add_parser("album", help="upload a folder, wait for the analyses, print what is in it")
    album.add_argument("folder", type=Path, help="pictures in it and below it")
    album.add_argument("--name", help="album to add to (default: the folder's name)")
    album.add_argument(
        "--min-images", type=int, default=1, help="leave out people seen in fewer pictures (default: %(default)s)"
    )
    album.set_defaults(run=_album)

    show = commands.add_parser("show", help="print the latest results of an album")
    show.add_argument("album")
    show.set_defaults(run=_show)

    albums = commands.add_parser("albums", help="list the albums")
    albums.set_defaults(run=_albums)

    search = commands.add_parser("search", help="find pictures of an album by words")
    search.add_argument("album", help="one of those that `darkroom albums` lists")
    search.add_argument("words", nargs="+", help="what is to be seen; -word: what is not")
    search.add_argument("--limit", type=int, default=20, help="pictures at most (default: %(default)s)")
    search.set_defaults(run=_search)

    job = commands.add_parser("job", help="show a job, or cancel it")
    job.add_argument("id")
    job.add_argument("--cancel", action="store_true")
    job.set_defaults(run=_job)

    delete = commands.add_parser("delete", help="delete an album with its vectors, faces and results")
    delete.add_argument("album")
    delete.set_defaults(run=_delete)

    modules = (style_commands, portrait_commands, user_commands, ray_commands, database_commands)
    more = (module.add_commands(commands) for module in modules)
    for command in (album, show, albums, search, job, *chain.from_iterable(more)):
        command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _album(client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    files = pictures_in(arguments.folder)
    name = arguments.name or arguments.folder.resolve().name
    columns = (TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task("Uploading", total=len(files))
        stored, rejected = client.upload(files, lambda count: progress.advance(bar, count))
        if not stored:
            raise CommandError(f"None of the {len(files)} files could be used: {rejected[0]['detail']}")
        bar = progress.add_task("Reading", total=len(stored))
        results = _embedded(
            client, name, list(stored), lambda share: progress.update(bar, completed=share * len(stored))
        )
        for link in results[-1]["jobs"]:
            bar = progress.add_task(_KINDS.get(link["kind"], link["kind"]), total=len(stored))
            client.finished(
                link["id"],
                lambda seen, bar=bar: progress.update(bar, completed=round(seen["progress"] * len(stored))),  # type: ignore[misc]
            )
    rejected = [entry | {"filename": str(Path(entry["filename"]).relative_to(arguments.folder))} for entry in rejected]
    names = {url: str(path.relative_to(arguments.folder)) for url, path in stored.items()}
    asked = {"album_id": name}
    people = asked | {"min_images": arguments.min_images}
    answers = {
        "tags": whole(client, client.json("POST", "/albums/tags", json=asked)),
        "duplicates": whole(client, client.json("POST", "/albums/duplicates", json=asked, params={"detail": True})),
        "people": whole(client, client.json("POST", "/albums/clusters", json=people)),
    }
    failed = [entry for result in results for entry in result["failed"]]
    if arguments.json:
        return {"album_id": name, "files": names, "rejected": rejected, "failed": failed, **answers}
    tables.album(tables.console(), name, names, answers, rejected + failed)
    return None


def _embedded(client: Client, name: str, urls: list[str], each: Callable[[float], None]) -> list[dict[str, Any]]:
    """Embed images in the album, in batches that any server accepts. -> the result of each batch

    All are posted before the first is waited for: analyses wait for images that were posted before them, so the album
    is analysed once, when it is complete. `each` gets the share of the images that is done.
    """
    batches = [urls[start : start + _BATCH_IMAGES] for start in range(0, len(urls), _BATCH_IMAGES)]
    prefer = {"Prefer": "respond-async"}
    jobs = [
        client.json("POST", "/albums/embeddings", json={"images": batch, "album_id": name}, headers=prefer)
        for batch in batches
    ]
    results = []
    for number, job in enumerate(jobs):
        ended = client.finished(
            job["id"],
            lambda seen, number=number: each((number + seen["progress"]) / len(jobs)),  # type: ignore[misc]
        )
        results.append(result_of(ended))
    return results


def _show(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    album = load_album(client, arguments.album)
    if arguments.json:
        return album
    names = {entry["image"]: entry["filename"] or entry["image"].rsplit("/", 1)[-1] for entry in album["images"]}
    results = album["results"]
    answers = {
        "tags": {"tags": results["tags"] or {}},
        "duplicates": {"duplicates": results["duplicates"] or {}},
        "people": {"people_clusters": results["people_clusters"] or {}},
    }
    failed = [entry for entry in album["images"] if entry["status"] == "failed"]
    tables.album(tables.console(), album["album_id"], names, answers, failed)
    return None


def _albums(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    items = client.items("/albums")
    if arguments.json:
        return items
    tables.albums(tables.console(), items)
    return None


def _search(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    query = {"q": " ".join(arguments.words), "limit": arguments.limit}
    hits = client.json("GET", f"/albums/{quote(arguments.album, safe='')}/search", params=query)["results"]
    if arguments.json:
        return hits
    tables.hits(tables.console(), hits)
    return None


def _job(client: Client, arguments: argparse.Namespace, _: Console) -> Any:
    job = client.json("DELETE" if arguments.cancel else "GET", f"/jobs/{arguments.id}")
    if arguments.json:
        return job
    tables.job(tables.console(), job)
    return None


def _delete(client: Client, arguments: argparse.Namespace, err: Console) -> Any:
    client.call("DELETE", f"/albums/{quote(arguments.album, safe='')}")
    err.print(f"Deleted album {arguments.album}.", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
