"""The commands about albums: `album`, `show`, `albums`, `search`, `duplicates`, `texts`, `delete`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from darkroom_client import Darkroom, Progress, Uploaded
from darkroom_client.cli import tables
from darkroom_client.cli.failures import CommandError
from darkroom_client.cli.journal import Stored, UploadJournal, find_stored
from darkroom_client.cli.names import Names
from darkroom_client.cli.options import Album, Json, Output, err, print_json, state
from darkroom_client.cli.review import Review
from darkroom_client.cli.whole import load_album, whole
from darkroom_client.errors import InvalidRequest, NotFound
from darkroom_client.files import SUFFIXES, pictures_in

app = typer.Typer()
_STAGES = {"uploading": "Uploading", "reading": "Reading"}


class Shown:
    """Progress as bars, one a stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._stages: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in self._stages:
            title = _STAGES.get(progress.stage, progress.stage.capitalize())
            self._stages[progress.stage] = self._bars.add_task(title, total=progress.total)
        self._bars.update(self._stages[progress.stage], completed=round(progress.done), total=progress.total)


@contextmanager
def shown_progress() -> Iterator[Shown]:
    """Show bars on standard error."""
    columns = (TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=err()) as bars:
        yield Shown(bars)


@app.command()
def album(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="pictures in it and below it")],
    name: Annotated[str | None, typer.Option(help="album to add to (default: the folder's name)")] = None,
    min_images: Annotated[int, typer.Option(help="leave out people seen in fewer pictures")] = 1,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Upload a folder, wait for the analyses, print what is in it.

    An upload that was interrupted goes on where it ended: files that the server has are not sent again.
    """
    files = _pictures(folder)
    name = name or folder.resolve().name
    with state(context).client() as client:
        with shown_progress() as shown:
            stored, sent = upload(client, folder, files, shown)
            results = client.album(name).embed(list(stored), shown)
        names = {url: str(path.relative_to(folder)) for url, path in stored.items()}
        rejected = [
            {**entry.model_dump(mode="json"), "filename": str(path.relative_to(folder))}
            for path, entry in sent.rejected.items()
        ]
        failed = [entry.model_dump(mode="json") for result in results for entry in result.failed]
        answers = {
            "tags": whole(client, name, client.album(name).tags()),
            "duplicates": whole(client, name, client.album(name).duplicates(detail=True)),
            "people": whole(client, name, client.album(name).people(min_images=min_images)),
        }
        if state(context).wants_json(as_json, output):
            print_json({"album_id": name, "files": names, "rejected": rejected, "failed": failed, **answers})
        else:
            tables.album(tables.console(), name, len(names), Names(client, names), answers, rejected + failed)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder.")
    found = pictures_in(folder)
    if not found:
        raise CommandError(f"There are no pictures in {folder} ({', '.join(sorted(SUFFIXES))}).")
    return found


def upload(
    client: Darkroom, folder: Path, files: list[Path], shown: Callable[[Progress], object]
) -> tuple[dict[str, Path], Uploaded]:
    """Upload the files that the server does not have yet. -> file by URL, what became of those that were sent

    What an earlier upload noted is asked for by id, all others by their bytes.
    """
    journal = UploadJournal(client.server, folder)
    known = journal.known(client, files)
    stored = _find_stored(client, [file for file in files if file not in known], known.values())
    journal.add(stored)
    known |= {file: image.url for file, image in stored.items()}
    shown(Progress("uploading", len(known), len(files)))

    def note(progress: Progress, sent: Uploaded) -> None:
        journal.add(sent.images)
        shown(Progress("uploading", len(known) + progress.done, len(files)))

    missing = [file for file in files if file not in known]
    sent = client.upload(missing, note, accept_rejected=bool(known))
    urls = known | {file: image.url for file, image in sent.images.items()}
    return {urls[file]: file for file in files if file in urls}, sent


def _find_stored(client: Darkroom, files: list[Path], but: Collection[str]) -> dict[Path, Stored]:
    """Find files that the server has by their bytes. One that is older than this command cannot tell."""
    try:
        return find_stored(client, files, but)
    except InvalidRequest:
        err().print(
            "The server is older than this command and cannot look for files by their bytes: all are sent.",
            highlight=False,
            markup=False,
        )
        return {}


@app.command()
def show(context: typer.Context, album: Album, as_json: Json = False, output: Output = None) -> None:
    """Print the latest results of an album."""
    with state(context).client() as client:
        found = load_album(client, album)
        if state(context).wants_json(as_json, output):
            print_json(found)
            return
        known = {entry["image"]: entry["filename"] for entry in found["images"] if entry.get("filename")}
        results = found["results"]
        answers = {
            "tags": {"tags": results["tags"] or {}},
            "duplicates": {"duplicates": results["duplicates"] or {}},
            "people": {"people_clusters": results["people_clusters"] or {}},
        }
        failed = [entry for entry in found["images"] if entry["status"] == "failed"]
        names = Names(client, known)
        tables.album(tables.console(), found["album_id"], len(found["images"]), names, answers, failed)


@app.command()
def albums(context: typer.Context, as_json: Json = False, output: Output = None) -> None:
    """List the albums."""
    with state(context).client() as client:
        items = [item.model_dump(mode="json") for item in client.every(client.list_albums)]
    if state(context).wants_json(as_json, output):
        print_json(items)
    else:
        tables.albums(tables.console(), items)


@app.command(context_settings={"ignore_unknown_options": True})
def search(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="[ALBUM] WORDS...", help="what is to be seen; -word: what is not")
    ],
    limit: Annotated[int, typer.Option(help="pictures at most")] = 20,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Find pictures by words: in the album that is named first, else in all albums."""
    with state(context).client() as client:
        first, *rest = words
        in_one = bool(rest) and _has(client, first)
        query = " ".join(rest if in_one else words)
        searched = [first] if in_one else [item.album_id for item in client.every(client.list_albums)]
        hits = [(one, hit) for one in searched for hit in client.search_album(one, query, limit).results]
        hits = sorted(hits, key=lambda entry: -entry[1].score)[:limit]
        if state(context).wants_json(as_json, output):
            print_json([hit if in_one else {"album_id": one, **hit.model_dump()} for one, hit in hits])
            return
        names = Names(client)
        tables.hits(tables.console(), [(one, hit.score, names[hit.image]) for one, hit in hits])


def _has(client: Darkroom, album: str) -> bool:
    try:
        client.list_album_images(album, limit=1)
    except NotFound:
        return False
    return True


@app.command()
def duplicates(
    context: typer.Context,
    album: Album,
    level: Annotated[str, typer.Option(help="exact, copy or similar")] = "copy",
    decide: Annotated[bool, typer.Option("--review", help="decide of one group after the other")] = False,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Print the groups of duplicates of an album: which one to keep, and why. With --review decide, group by group."""
    with state(context).client() as client:
        if decide:
            client.album(album).duplicates(level=level)  # where they were never looked for, or pictures were added
            Review(client, album, level).run()
            return
        found = whole(client, album, client.album(album).duplicates(level=level, detail=True))
        groups: list[dict[str, Any]] = found["groups"]
        if state(context).wants_json(as_json, output):
            print_json(groups)
        else:
            tables.duplicates(tables.console(), groups, Names(client))


@app.command()
def texts(
    context: typer.Context,
    album: Album,
    min_score: Annotated[float | None, typer.Option(help="leave out what was read with less, 0 to 1")] = None,
    likely: Annotated[bool, typer.Option("--likely", help="only pictures that look as if they held print")] = False,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Read what is written in the pictures of an album: rows as lines, cells apart by tabs."""
    with state(context).client() as client:
        asked = {"min_score": min_score, "likely_only": likely or None}
        named = {name: value for name, value in asked.items() if value is not None}
        found: list[dict[str, Any]] = whole(client, album, client.album(album).texts(**named))["texts"]
        if state(context).wants_json(as_json, output):
            print_json(found)
        else:
            tables.texts(tables.console(), found, Names(client))


@app.command()
def delete(context: typer.Context, album: Album) -> None:
    """Delete an album with its vectors, faces and results."""
    with state(context).client() as client:
        client.delete_album(album)
    err().print(f"Deleted album {album}.", highlight=False, markup=False)
