"""The commands about users and their history, and about jobs: `users`, `history`, `job`, `jobs`, `open`."""

from __future__ import annotations

import sys
import webbrowser
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from darkroom_client.cli import tables
from darkroom_client.cli.config import ADMIN_KEY
from darkroom_client.cli.options import Json, Output, err, print_json, state

app = typer.Typer()
users = typer.Typer(help=f"make, list and delete users ({ADMIN_KEY})", no_args_is_help=True)


class JobStatus(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Kind(StrEnum):
    """What was made."""

    STYLE = "style"
    AVATAR = "avatar"
    TXT2IMG = "txt2img"
    IMG2IMG = "img2img"


@users.command()
def add(context: typer.Context, name: str, email: str, as_json: Json = False, output: Output = None) -> None:
    """Make a user, and print the key, which is shown this once."""
    with state(context).client(for_admin=True) as client:
        made = client.create_user(name, email)
    if state(context).wants_json(as_json, output):
        print_json(made)
        return
    told = f"Made user {made.username}, {made.id}. The key is shown this once:"
    err().print(told, highlight=False, markup=False)
    sys.stdout.write(f"{made.api_key}\n")


@users.command("list")
def list_users(context: typer.Context, as_json: Json = False, output: Output = None) -> None:
    """List the users."""
    with state(context).client(for_admin=True) as client:
        listed = [one.model_dump(mode="json") for one in client.every(client.list_users)]
    if state(context).wants_json(as_json, output):
        print_json(listed)
    else:
        tables.users(tables.console(), listed)


@users.command("delete")
def delete_user(context: typer.Context, user_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Delete a user with everything that is the user's."""
    with state(context).client(for_admin=True) as client:
        client.delete_user(user_id)
    err().print(f"Deleted user {user_id}.", highlight=False, markup=False)


@app.command()
def history(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(metavar="ID", help=f"of this user ({ADMIN_KEY})")] = None,
    kind: Annotated[Kind | None, typer.Option(help="only this kind")] = None,
    limit: Annotated[int, typer.Option(help="so many entries at most")] = 50,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """List what was made, the newest first."""
    with state(context).client(for_admin=user is not None) as client:
        query: dict[str, Any] = {"kind": kind.value} if kind else {}
        if user is None:
            pages = client.every(client.list_history, **query)
        else:
            pages = client.every(client.list_history_of, user, **query)
        entries = [entry.model_dump(mode="json") for entry in islice(pages, limit)]
    if state(context).wants_json(as_json, output):
        print_json(entries)
    else:
        tables.history(tables.console(), entries)


@app.command()
def job(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="ID")],
    cancel: Annotated[bool, typer.Option("--cancel", help="ask it to stop")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="start its work anew, where it failed or was cancelled")
    ] = False,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Show a job, cancel it, or start its work anew."""
    if cancel and retry:
        raise typer.BadParameter("--cancel and --retry: one of the two")
    with state(context).client() as client:
        if retry:
            job_id = client.retry_job(job_id).id
        found = client.cancel_job(job_id) if cancel else client.get_job(job_id)
    if state(context).wants_json(as_json, output):
        print_json(found)
    else:
        tables.job(tables.console(), found.model_dump(mode="json"))


@app.command()
def jobs(
    context: typer.Context,
    album: Annotated[str | None, typer.Argument(metavar="[ALBUM]", help="only those of this album")] = None,
    status: Annotated[JobStatus | None, typer.Option(help="only those of this status")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="how many")] = 20,
    as_json: Json = False,
    output: Output = None,
) -> None:
    """List your jobs, the newest first."""
    with state(context).client() as client:
        found = client.list_jobs(album_id=album, status=None if status is None else status.value, limit=limit).items
    told = [one.model_dump(mode="json") for one in found]
    if state(context).wants_json(as_json, output):
        print_json(told)
    else:
        tables.jobs(tables.console(), told)


@app.command("open")
def open_page(
    context: typer.Context,
    only_print: Annotated[bool, typer.Option("--print", help="print the address, open nothing")] = False,
) -> None:
    """Open the server's web page in the browser."""
    address = f"{state(context).server.rstrip('/')}/"
    if only_print or not webbrowser.open(address):
        sys.stdout.write(f"{address}\n")
