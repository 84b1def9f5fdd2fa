"""The commands that make one image of another: `style`, `avatar`, `segment`, and the lists `styles` and `animals`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from PIL import Image as PillowImage
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from darkroom_client import Darkroom, Job
from darkroom_client.cli import tables
from darkroom_client.cli.failures import CommandError
from darkroom_client.cli.options import Json, Output, Picture, err, print_json, state
from darkroom_client.errors import UploadRefused
from darkroom_client.files import is_reference
from darkroom_client.models import AvatarResult, SegmentationResult, StyleResult

app = typer.Typer()
_JPEG = frozenset({".jpg", ".jpeg"})
R = TypeVar("R", StyleResult, AvatarResult, SegmentationResult)

Prompt = Annotated[str | None, typer.Option(help="what an image model is told, instead of the usual")]
Strength = Annotated[float | None, typer.Option(help="how far from the photograph, 0 to 1")]
Seed = Annotated[int | None, typer.Option(help="the same one makes the same picture again")]
Engine = Annotated[str | None, typer.Option(help="this one only")]


class Mode(StrEnum):
    """How a person becomes an animal."""

    OVERLAY = "overlay"
    CHARACTER = "character"


class Target(StrEnum):
    """What is cut out."""

    FACE = "face"
    PERSON = "person"


def _out(where: str, *more: str) -> Any:
    return typer.Option("-o", "--out", *more, metavar="FILE", help=f"where to write it (default: {where}, here)")


@app.command()
def style(
    context: typer.Context,
    picture: Picture,
    style: Annotated[str, typer.Argument(metavar="STYLE", help="one of those that `darkroom styles` lists")],
    out: Annotated[Path | None, _out("PICTURE-STYLE.jpg", "--output")] = None,
    prompt: Prompt = None,
    strength: Strength = None,
    seed: Seed = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Make a picture in a style, and write it to a file."""
    file = out or Path(f"{_stem(picture)}-{style.lower()}.jpg")
    _check_writable(file)
    with state(context).client() as client:
        options: dict[str, Any] = {"prompt": prompt, "strength": strength, "seed": seed, "engine": engine}
        made = _wait(style, client.make_style(_reference(client, picture), style, **options))
        _save(client, made.image_url, file)
    if state(context).wants_json(as_json):
        print_json({**made.model_dump(mode="json", exclude_unset=True), "file": str(file)})
        return
    _warn(made)
    _tell(f"By {made.engine}, seed {made.seed}:", file)


@app.command()
def styles(context: typer.Context, as_json: Json = False, output: Output = None) -> None:
    """List the styles."""
    with state(context).client() as client:
        listed = [one.model_dump(mode="json") for one in client.list_styles().styles]
    _print_list(context, tables.styles, listed, as_json, output)


@app.command()
def avatar(
    context: typer.Context,
    picture: Picture,
    animal: Annotated[str, typer.Option(help="one of those that `darkroom animals` lists")] = "fox",
    mode: Annotated[Mode | None, typer.Option(help="features on the face, or a whole head")] = None,
    out: Annotated[Path | None, _out("PICTURE-ANIMAL.jpg")] = None,
    prompt: Prompt = None,
    strength: Strength = None,
    seed: Seed = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Make the people of a picture animals, and write it to a file."""
    file = out or Path(f"{_stem(picture)}-{animal}.jpg")
    _check_writable(file)
    with state(context).client() as client:
        options: dict[str, Any] = {"prompt": prompt, "strength": strength, "seed": seed, "engine": engine}
        options["mode"] = mode.value if mode else None
        made = _wait(animal, client.make_avatar(_existing(picture), animal, **options))
        _save(client, made.image_url, file)
    if state(context).wants_json(as_json):
        print_json({**made.model_dump(mode="json", exclude_unset=True), "file": str(file)})
        return
    _warn(made)
    faces = len(made.faces)
    _tell(f"{faces} {'face' if faces == 1 else 'faces'} by {made.engine}, seed {made.seed}:", file)


@app.command()
def animals(context: typer.Context, as_json: Json = False, output: Output = None) -> None:
    """List the animals."""
    with state(context).client() as client:
        listed = [one.model_dump(mode="json") for one in client.list_animals().animals]
    _print_list(context, tables.animals, listed, as_json, output)


@app.command()
def segment(
    context: typer.Context,
    picture: Picture,
    target: Annotated[Target, typer.Option(help="what to cut out")] = Target.FACE,
    out: Annotated[Path | None, _out("PICTURE-TARGET.png")] = None,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="write the mask too")] = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Cut faces or people out of a picture, and write them to a file."""
    files = [out or Path(f"{_stem(picture)}-{target.value}.png"), *([mask] if mask else [])]
    for file in files:
        _check_writable(file)
    with state(context).client() as client:
        made = _wait(target.value, client.segment(_existing(picture), target=target.value, engine=engine))
        for url, file in zip((made.cutout_url, made.mask_url), files, strict=False):
            _save(client, url, file)
    if state(context).wants_json(as_json):
        print_json({**made.model_dump(mode="json", exclude_unset=True), "files": [str(file) for file in files]})
        return
    _warn(made)
    tables.faces(err(), [face.model_dump(mode="json") for face in made.faces])
    sys.stdout.writelines(f"{file}\n" for file in files)


def _print_list(
    context: typer.Context, table: Callable[..., None], listed: list[Any], as_json: bool, output: Output
) -> None:
    if state(context).wants_json(as_json, output):
        print_json(listed)
    else:
        table(tables.console(), listed)


def _existing(picture: str) -> str | Path:
    """A reference as it stands, or the path of a file. Raises `CommandError` when it is no file."""
    if is_reference(picture):
        return picture
    path = Path(picture)
    if not path.is_file():
        raise CommandError(f"{picture} is a folder." if path.is_dir() else f"There is no file {picture}.")
    return path


def _reference(client: Darkroom, picture: str) -> str:
    try:
        return client.reference(_existing(picture))
    except UploadRefused as error:
        raise CommandError(f"{picture} cannot be used: {error.rejected[0].detail}") from None


def _stem(picture: str) -> str:
    """Stem for the names of output files: the input file's, or the end of its URL."""
    return Path(picture.partition("?")[0]).stem or "picture"


def _check_writable(file: Path) -> None:
    """Check an output path before any work is done.

    Raises `CommandError` for a missing folder and for a file type that cannot be written.
    """
    if not file.parent.is_dir():
        raise CommandError(f"{file} cannot be written: {file.parent} is not a folder.")
    if file.suffix.lower() not in {*_JPEG, *PillowImage.registered_extensions()}:
        raise CommandError(f"{file}: pictures of this kind cannot be written; name it .jpg or .png.")


def _wait(what: str, job: Job[R]) -> R:
    """Show the progress of a job until it has ended. -> its result"""
    columns = (TextColumn("{task.description:<11}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err()) as progress:
        bar = progress.add_task(what, total=1.0)
        return job.wait(on_progress=lambda seen: progress.update(bar, completed=seen.progress))


def _save(client: Darkroom, url: str, file: Path) -> None:
    """Download an image into a file, in the format of the file's suffix. Raises `CommandError`."""
    data = client.get_file(url)
    try:
        with PillowImage.open(io.BytesIO(data)) as picture:
            if PillowImage.registered_extensions().get(file.suffix.lower()) == picture.format:
                file.write_bytes(data)
            else:
                (picture.convert("RGB") if file.suffix.lower() in _JPEG else picture).save(file)
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be written: {error}") from None


def _warn(made: StyleResult | AvatarResult | SegmentationResult) -> None:
    for warning in made.warnings or ():
        err().print("[yellow]darkroom:[/]", end=" ")
        err().print(warning, highlight=False, markup=False)


def _tell(what: str, file: Path) -> None:
    err().print(what, highlight=False, markup=False)
    sys.stdout.write(f"{file}\n")
