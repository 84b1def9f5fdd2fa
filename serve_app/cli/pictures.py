"""Helpers of the commands that make one image of another: input file, wait for the job, output file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from serve_app.cli.client import Client, CommandError, result_of

_JPEG = frozenset({".jpg", ".jpeg"})


def existing(picture: str) -> Path:
    """Path of an input file. Raises `CommandError` when it is no file."""
    path = Path(picture)
    if not path.is_file():
        raise CommandError(f"{picture} is a folder." if path.is_dir() else f"There is no file {picture}.")
    return path


def stem_of(picture: str) -> str:
    """Stem for the names of output files: the input file's, or the end of its URL."""
    return Path(picture.partition("?")[0]).stem or "picture"


def check_writable(output: Path) -> None:
    """Check an output path before any work is done.

    Raises `CommandError` for a missing folder and for a file type that cannot be written.
    """
    if not output.parent.is_dir():
        raise CommandError(f"{output} cannot be written: {output.parent} is not a folder.")
    if output.suffix.lower() not in {*_JPEG, *PillowImage.registered_extensions()}:
        raise CommandError(f"{output}: pictures of this kind cannot be written; name it .jpg or .png.")


def sent(picture: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Build the body of a request on an image: JSON with its URL, or a form with the file and the fields."""
    if "://" in picture:
        return {"json": {"image_url": picture} | fields}
    path = existing(picture)
    return {"files": {"file": (path.name, path.read_bytes())}, "data": fields}


def wait_for_picture(client: Client, err: Console, what: str, route: str, **request: Any) -> dict[str, Any]:
    """Post the request as a job and show its progress. -> its result. Raises `CommandError`."""
    columns = (TextColumn("{task.description:<11}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task(what, total=1.0)
        job = client.json("POST", route, headers={"Prefer": "respond-async"}, **request)
        ended = client.finished(job["id"], lambda seen: progress.update(bar, completed=seen["progress"]))
    return result_of(ended)


def save(client: Client, url: str, output: Path) -> None:
    """Download an image into a file, in the format of the file's suffix. Raises `CommandError`."""
    key = url.rsplit("/", 1)[1]
    data = client.call("GET", f"/files/{key}", follow_redirects=True).content  # to an object store, maybe
    try:
        with PillowImage.open(io.BytesIO(data)) as picture:
            if PillowImage.registered_extensions().get(output.suffix.lower()) == picture.format:
                output.write_bytes(data)
            else:
                (picture.convert("RGB") if output.suffix.lower() in _JPEG else picture).save(output)
    except (OSError, ValueError) as error:
        raise CommandError(f"{output} cannot be written: {error}") from None


def print_warnings(err: Console, answer: dict[str, Any]) -> None:
    """Print the warnings of an answer."""
    for warning in answer.get("warnings", []):
        err.print(f"[yellow]darkroom:[/] {warning}", highlight=False)
