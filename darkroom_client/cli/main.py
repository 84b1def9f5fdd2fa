"""The command `darkroom`: parses arguments and prints answers as tables, or as JSON."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from darkroom_client.cli import accounts, albums, people, pictures
from darkroom_client.cli.config import state_of
from darkroom_client.cli.failures import KNOWN, STOPPED, explain
from darkroom_client.cli.options import Format, err

_HELP = "Tags, duplicates and people of a picture album; pictures in a style, people as animals."
_EPILOG = (
    "A server that asks for keys gets DARKROOM_API_KEY, for the commands about users DARKROOM_ADMIN_KEY. "
    "Exit statuses: 1 the request failed, 2 wrong usage, 3 a key is missing or not enough, 4 no server answers, "
    "5 the server is busy."
)
_DISTRIBUTIONS = ("darkroom-client", "darkroom")


def build(*more: typer.Typer) -> typer.Typer:
    """Make the application. `more`: commands of this machine's own server."""
    app = typer.Typer(
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for part in (albums.app, people.app, pictures.app, accounts.app, *more):
        app.registered_commands += part.registered_commands
    app.add_typer(accounts.users, name="users")
    return app


def run(app: typer.Typer, argv: list[str] | None = None) -> int:
    """Run one command. -> exit status. Raises `SystemExit` after help and for wrong usage."""
    command = typer.main.get_command(app)
    try:
        ended = command.main(args=argv, prog_name="darkroom", standalone_mode=False)
    except KNOWN as error:
        line, status = explain(error)
        err().print("[red]darkroom:[/]", end=" ")
        err().print(line, highlight=False, markup=False)
        return status
    except (KeyboardInterrupt, typer.Abort):
        ended = STOPPED
    except typer.TyperException as error:
        raise SystemExit(_show(error)) from None
    if ended == STOPPED:  # what Typer makes of Ctrl-C, too
        err().print("darkroom: stopped; jobs that were started go on in the server")
        return STOPPED
    if ended is not None:  # help or the version was printed
        raise SystemExit(ended)
    return 0


def _show(error: typer.TyperException) -> int:
    """Print a mistake in the command line. -> exit status"""
    err().print(
        f"darkroom: {error.format_message()} `darkroom --help` lists the commands.", highlight=False, markup=False
    )
    return error.exit_code


def _version(is_wanted: bool) -> None:
    if is_wanted:
        sys.stdout.write(f"darkroom {_installed()}\n")
        raise typer.Exit


def _installed() -> str:
    for name in _DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "from a checkout"


def _common(
    context: typer.Context,
    server: Annotated[
        str | None, typer.Option(help="where Darkroom answers (DARKROOM_SERVER; default: http://127.0.0.1:8000)")
    ] = None,
    output: Annotated[Format | None, typer.Option(help="how to print answers (default: table)")] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    if not context.resilient_parsing:
        context.obj = state_of(server, output.value if output else None)


def main(argv: list[str] | None = None) -> int:
    """Run one command of the client alone. -> exit status"""
    return run(build(), argv)


if __name__ == "__main__":
    sys.exit(main())
