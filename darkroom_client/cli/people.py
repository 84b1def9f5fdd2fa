"""The commands about people: `people`, `name`, `merge`, `undo`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from darkroom_client import Darkroom
from darkroom_client.cli import tables
from darkroom_client.cli.failures import CommandError
from darkroom_client.cli.names import Names
from darkroom_client.cli.options import Json, Output, err, print_json, state
from darkroom_client.errors import ChangedMeanwhile, Conflict, InvalidRequest, NotFound
from darkroom_client.models import SuggestionView

app = typer.Typer()
_ANSWERS = {"y": "yes", "n": "no", "s": "skip"}
_AT_ONCE = 20
Person = Annotated[str, typer.Argument(metavar="PERSON", help="an id or a name that `darkroom people` lists")]


@app.command()
def people(
    context: typer.Context,
    album: Annotated[str | None, typer.Argument(metavar="[ALBUM]", help="only those of this album")] = None,
    review: Annotated[bool, typer.Option("--review", help="answer questions: are these two the same?")] = False,
    named: Annotated[bool, typer.Option("--named", help="only those who have a name")] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="those that are hidden")] = False,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Print the people of all albums, or of one; with --review, help to tell them apart."""
    with state(context).client() as client:
        if review:
            _review(client)
            return
        wants_json = state(context).wants_json(as_json, output)
        if album is not None:
            _of_album(client, album, wants_json)
            return
        listed = list(client.every(client.list_people, named=named or None, hidden=hidden or None))
        if wants_json:
            print_json(listed)
        else:
            tables.library_people(tables.console(), [one.model_dump(mode="json") for one in listed])


def _of_album(client: Darkroom, album: str, wants_json: bool) -> None:
    client.album(album).people()  # where they were never looked for, or pictures were added
    listed = list(client.every(client.list_album_people, album))
    if wants_json:
        print_json(listed)
        return
    found = []
    for number, person in enumerate(listed, 1):
        faces = list(client.every(client.list_album_faces, album, person=person.id))
        images = list(dict.fromkeys(face.image for face in faces))
        found.append((f"person{number}", person.face_count, images))
    tables.people(tables.console(), found, Names(client))


@app.command()
def name(
    context: typer.Context,
    person: Person,
    new: Annotated[str, typer.Argument(metavar="NAME", help="what the person is called; empty: no name")],
) -> None:
    """Name a person. The name stays with its faces, whatever becomes of albums."""
    with state(context).client() as client:
        found = _find(client, person)
        changed = client.change_person(found, name=new) if new else client.change_person(found, clear=["name"])
        err().print(f"{changed.id} is {changed.name or 'without a name'}.", highlight=False, markup=False)


@app.command()
def merge(
    context: typer.Context,
    person: Person,
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="who is the same person")],
) -> None:
    """Say that people are one; `darkroom undo` takes it back."""
    with state(context).client() as client:
        merged = client.merge_people(_find(client, person), [_find(client, other) for other in others])
        told = merged.name or merged.id
        err().print(f"{told} has {merged.face_count} faces now.", highlight=False, markup=False)


@app.command()
def undo(context: typer.Context) -> None:
    """Take back the last decision."""
    with state(context).client() as client:
        undone = client.undo_last()
        err().print(f"Taken back: {undone.items[0].via}.", highlight=False, markup=False)


def _find(client: Darkroom, person: str) -> str:
    """Find a person by id or name. -> its id"""
    if person.startswith("per_"):
        return person
    found = [one.id for one in client.every(client.list_people, named=True) if one.name == person]
    if len(found) != 1:
        raise CommandError(f"{len(found) or 'No'} people are called {person}; `darkroom people` lists their ids.")
    return str(found[0])


def _review(client: Darkroom) -> None:
    """Ask what the server is least sure of, until nothing is left or the user stops."""
    console, asked = err(), 0
    seen: set[str] = set()
    while waiting := [one for one in client.list_suggestions(_AT_ONCE).items if one.id not in seen]:
        for question in waiting:
            seen.add(question.id)
            try:
                console.print(_worded(client, question), highlight=False, markup=False)
                answer = _prompt()
                if answer is None:
                    return
                client.answer_suggestion(question.id, answer)  # type: ignore[arg-type]
                asked += 1
            except (ChangedMeanwhile, Conflict, InvalidRequest, NotFound) as error:
                # Said otherwise before, or answered by what was said just now.
                console.print(str(error), highlight=False, markup=False)
    console.print(f"{asked} answers; no question is left.", highlight=False)


def _prompt() -> str | None:
    """Ask until the answer is one. -> None: the user stops"""
    while True:
        key = typer.prompt("yes, no, skip or quit? [y/n/s/q]", default="s", err=True).strip().lower()
        if key in ("q", "quit"):
            return None
        for short, answer in _ANSWERS.items():
            if key in (short, answer):
                return answer


def _worded(client: Darkroom, question: SuggestionView) -> str:
    crops = [client.get_face(face).crop for face in question.faces]
    shown = "\n".join(f"  {crop}" for crop in crops)
    if question.kind == "same":
        one, other = (_called(client.get_person(person)) for person in question.people or ())
        return f"Are {one} and {other} the same?\n{shown}"
    return f"Is the first of these {_called(client.get_person(question.person or ''))}?\n{shown}"


def _called(person: Any) -> str:
    return f"{person.name or person.id} ({person.face_count} faces)"
